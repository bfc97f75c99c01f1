/**
 * Collects what comes in, mixed to one channel, into pieces of 20 ms, with the level of each.
 * Runs on the audio thread; knows nothing of where the sound comes from or goes.
 */

const PIECE_S = 0.02;

class Capture extends AudioWorkletProcessor {
  #piece = new Float32Array(Math.round(sampleRate * PIECE_S));
  #numFilled = 0;

  process([channels]) {
    if (channels.length === 0) return true; // the source is not there yet, or gone
    for (let i = 0; i < channels[0].length; i++) {
      let sum = 0;
      for (const channel of channels) sum += channel[i];
      this.#piece[this.#numFilled++] = sum / channels.length;
      if (this.#numFilled === this.#piece.length) this.#hand();
    }
    return true;
  }

  #hand() {
    let energy = 0;
    for (const sample of this.#piece) energy += sample * sample;
    const rms = Math.sqrt(energy / this.#piece.length);
    this.port.postMessage({ samples: this.#piece, rms }, [this.#piece.buffer]);
    this.#piece = new Float32Array(Math.round(sampleRate * PIECE_S));
    this.#numFilled = 0;
  }
}

registerProcessor("capture", Capture);
