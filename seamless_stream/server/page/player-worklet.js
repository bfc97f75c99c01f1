/**
 * Plays pieces of speech one after the other on one clock, without gaps and without clicks.
 *
 * A jitter buffer: after silence it waits until enough has come (or all of it) before it begins; where it runs dry in
 * the middle of a segment it fades out and waits for more than before. Runs on the audio thread; knows only samples and
 * the name of the segment that they belong to.
 */

const LEAD_S = 0.15; // how much must wait before speech begins
const MAX_LEAD_S = 0.8;
const DELAY_S = 0.25; // after which it begins with less: no more may be coming
const UNEVEN_S = 0.4; // a shorter silence within a segment is the network's, a longer one the translation's
const FADE_SAMPLES = Math.round(sampleRate * 0.005);
const REPORT_S = 0.1;

class Player extends AudioWorkletProcessor {
  #pieces = []; // {samples, segment, place}
  #place = 0; // in the first piece
  #numWaiting = 0; // samples
  #leadS = LEAD_S;
  #isPlaying = false;
  #arrivedS = 0; // when the last piece came
  #gain = 0; // of the fade, from 0 to 1
  #last = 0; // sample, to fade out from
  #numPlayed = 0;
  #driedS = -UNEVEN_S;
  #numDry = 0; // times that speech broke off
  #segment = null;
  #heard = null; // {place, numSamples}: of the piece that was played last, the samples so far
  #reportedS = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => {
      if (data.samples) this.#push(data);
      else this.#clear();
    };
  }

  #push(piece) {
    // The rest of a segment came just after it fell silent: the way is uneven, so wait for more from now on.
    if (!this.#isPlaying && piece.segment === this.#segment && currentTime - this.#driedS < UNEVEN_S) {
      this.#numDry += 1;
      this.#leadS = Math.min(MAX_LEAD_S, this.#leadS * 1.5);
    }
    this.#pieces.push(piece);
    this.#numWaiting += piece.samples.length;
    this.#arrivedS = currentTime;
  }

  #clear() {
    this.#pieces = [];
    this.#place = this.#numWaiting = 0;
  }

  process(_, [[out]]) {
    if (!this.#isPlaying) this.#isPlaying = this.#mayBegin();
    for (let i = 0; i < out.length; i++) out[i] = this.#isPlaying ? this.#next() : this.#fadeOut();
    if (currentTime - this.#reportedS >= REPORT_S) this.#report();
    return true;
  }

  #mayBegin() {
    const waitingS = this.#numWaiting / sampleRate;
    return waitingS >= this.#leadS || (waitingS > 0 && currentTime - this.#arrivedS > DELAY_S);
  }

  #next() {
    const piece = this.#pieces[0];
    if (piece === undefined) {
      this.#isPlaying = false;
      this.#driedS = currentTime;
      return this.#fadeOut();
    }
    this.#segment = piece.segment;
    this.#heard = { place: piece.place, numSamples: this.#place + 1 };
    this.#gain = Math.min(1, this.#gain + 1 / FADE_SAMPLES);
    this.#last = piece.samples[this.#place++];
    this.#numWaiting -= 1;
    this.#numPlayed += 1;
    if (this.#place === piece.samples.length) {
      this.#pieces.shift();
      this.#place = 0;
    }
    return this.#last * this.#gain;
  }

  #fadeOut() {
    this.#gain = Math.max(0, this.#gain - 1 / FADE_SAMPLES);
    return this.#last * this.#gain;
  }

  #report() {
    this.#reportedS = currentTime;
    this.port.postMessage({
      isPlaying: this.#isPlaying,
      segment: this.#isPlaying ? this.#segment : null,
      heard: this.#heard,
      waitingS: this.#numWaiting / sampleRate,
      numPlayed: this.#numPlayed,
      numDry: this.#numDry,
    });
  }
}

registerProcessor("player", Player);
