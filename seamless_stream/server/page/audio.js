/**
 * Sound in and out: microphone, tab or file into pieces of samples; translated speech to the loudspeaker; ducking.
 *
 * Knows the Web Audio API; knows nothing of the server and nothing of the page. One AudioContext is the clock of both
 * directions, at the rate of the device.
 */

const MAX_RATE = 48_000; // what the server takes
const DUCKED = 0.15; // what is left of the original while the translation speaks
const DUCK_S = 0.12;
const RELEASE_S = 0.6;

/** Why there is no sound, in words for the person in front of the page; `code` for programs. */
export class SoundError extends Error {
  constructor(code, message) {
    super(message);
    this.name = "SoundError";
    this.code = code;
  }
}

/** What is thrown where a wait was for something that nobody wants any more. */
export function stopped() {
  return new SoundError("stopped", "It was stopped.");
}

/** An AudioContext with the worklets; must be called from a click, else browsers keep it silent. */
export async function openContext() {
  if (!globalThis.AudioWorkletNode) {
    throw new SoundError("no_worklet", "Sound needs a newer browser, or this page by https.");
  }
  let context = new AudioContext({ latencyHint: "interactive" });
  if (context.sampleRate > MAX_RATE) {
    await context.close();
    context = new AudioContext({ latencyHint: "interactive", sampleRate: MAX_RATE });
  }
  const modules = ["capture-worklet.js", "player-worklet.js"].map((name) => new URL(name, import.meta.url));
  await Promise.all([context.resume(), ...modules.map((module) => context.audioWorklet.addModule(module))]);
  return context;
}

/** Plays what `push` is given; tells `onstate` ten times a second how it fares. */
export class Player {
  /** @param {AudioContext} context */
  constructor(context) {
    this.node = new AudioWorkletNode(context, "player", { numberOfInputs: 0, outputChannelCount: [1] });
    this.volume = context.createGain();
    this.node.connect(this.volume).connect(context.destination);
    this.state = { isPlaying: false, segment: null, heard: null, waitingS: 0, numPlayed: 0, numDry: 0 };
    this.onstate = () => {};
    this.node.port.onmessage = ({ data }) => this.onstate((this.state = data));
  }

  /**
   * @param {Float32Array} samples at the context's rate, which are given away
   * @param {object} place whatever its user knows them by; `state.heard` is `{place, numSamples}` of the newest played
   */
  push(samples, segment, place) {
    this.node.port.postMessage({ samples, segment, place }, [samples.buffer]);
  }

  /** Says no more of what it was given. */
  clear() {
    this.node.port.postMessage({});
  }

  close() {
    this.clear();
    this.node.disconnect();
    this.volume.disconnect();
  }
}

/** Where sound comes from: `onpiece({samples, rms})` every 20 ms, `onend` when there is no more. */
export class Source {
  #context;
  #capture;
  #monitor;
  #level = 1; // of the original, as the listener wants it
  #isDucked = false;
  #isClosed = false;
  #release = () => {};

  constructor(context) {
    this.#context = context;
    this.#capture = new AudioWorkletNode(context, "capture", { numberOfOutputs: 0 });
    this.#monitor = context.createGain();
    this.#monitor.connect(context.destination);
    this.onpiece = () => {};
    this.onend = () => {};
    this.#capture.port.onmessage = ({ data }) => this.onpiece(data);
  }

  /** @param {string} [deviceId] of `devices()`; the browser's choice where left out */
  async openMicrophone(deviceId) {
    const audio = { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true };
    if (deviceId) audio.deviceId = { exact: deviceId };
    const stream = await ask(() => navigator.mediaDevices.getUserMedia({ audio }), MICROPHONE);
    this.#listenTo(stream);
  }

  /** The sound of a tab, a window or the whole computer, whichever the browser offers. */
  async openTab() {
    const audio = { suppressLocalAudioPlayback: true, restrictOwnAudio: true };
    const options = { audio, video: true, systemAudio: "include", selfBrowserSurface: "exclude" };
    const stream = await ask(() => navigator.mediaDevices.getDisplayMedia(options), TAB);
    for (const track of stream.getVideoTracks()) track.enabled = false; // stopping it would end the sound too
    if (stream.getAudioTracks().length === 0) {
      stream.getTracks().forEach((track) => track.stop());
      throw new SoundError("no_tab_sound", "That was shared without its sound: share again and tick “share audio”.");
    }
    const isMuted = stream.getAudioTracks()[0].getSettings().suppressLocalAudioPlayback === true;
    this.#listenTo(stream).connect(isMuted ? this.#monitor : this.#context.createGain());
  }

  /** Plays a recording as it is and hears it; returns the element, which can pause and seek. */
  async openFile(file) {
    const element = new Audio();
    const address = URL.createObjectURL(file);
    const source = this.#context.createMediaElementSource(element);
    source.connect(this.#capture);
    source.connect(this.#monitor);
    this.#release = () => {
      element.pause();
      source.disconnect();
      URL.revokeObjectURL(address);
    };
    element.onended = () => this.onend();
    element.src = address;
    try {
      await element.play();
    } catch {
      this.#release();
      throw this.#isClosed ? stopped() : new SoundError("bad_file", `${file.name} cannot be played by this browser.`);
    }
    return element;
  }

  #listenTo(stream) {
    if (this.#isClosed) {
      stream.getTracks().forEach((track) => track.stop());
      throw stopped();
    }
    const source = this.#context.createMediaStreamSource(stream);
    source.connect(this.#capture);
    this.#release = () => {
      source.disconnect();
      stream.getTracks().forEach((track) => track.stop());
    };
    stream.getAudioTracks()[0].onended = () => this.onend();
    return source;
  }

  /** How loud the original is heard, from 0 to 1. */
  setLevel(level) {
    this.#level = level;
    this.#adjust(DUCK_S);
  }

  /** Lower the original while the translation speaks. */
  duck(isDucked) {
    if (isDucked === this.#isDucked) return;
    this.#isDucked = isDucked;
    this.#adjust(isDucked ? DUCK_S : RELEASE_S);
  }

  #adjust(durationS) {
    const level = this.#level * (this.#isDucked ? DUCKED : 1);
    this.#monitor.gain.setTargetAtTime(level, this.#context.currentTime, durationS / 3);
  }

  /** What the visitor allows after this is not opened. */
  close() {
    this.#isClosed = true;
    this.onpiece = this.onend = () => {};
    this.#release();
    this.#capture.disconnect();
    this.#monitor.disconnect();
  }
}

/** All samples of a recording at `rate`, mixed to one channel. */
export async function decodeFile(file, rate) {
  const context = new OfflineAudioContext(1, 1, rate);
  let buffer;
  try {
    buffer = await context.decodeAudioData(await file.arrayBuffer());
  } catch {
    throw new SoundError("bad_file", `${file.name} cannot be read by this browser.`);
  }
  const mixed = new Float32Array(buffer.length);
  for (let channel = 0; channel < buffer.numberOfChannels; channel++) {
    const samples = buffer.getChannelData(channel);
    for (let i = 0; i < mixed.length; i++) mixed[i] += samples[i] / buffer.numberOfChannels;
  }
  return mixed;
}

/** Microphones, with names once the page may use one. */
export async function microphones() {
  const devices = (await navigator.mediaDevices?.enumerateDevices()) ?? [];
  return devices.filter((device) => device.kind === "audioinput" && device.deviceId);
}

const MICROPHONE = {
  NotAllowedError: ["microphone_refused", "The browser does not let this page use the microphone. Allow it beside the address of the page, then start again."],
  NotFoundError: ["no_microphone", "No microphone was found. Plug one in, then start again."],
  NotReadableError: ["microphone_busy", "The microphone is in use by another program."],
  OverconstrainedError: ["no_microphone", "That microphone is gone. Choose another one."],
};
const TAB = {
  NotAllowedError: ["tab_refused", "Nothing was shared. Start again and choose a tab or screen, with its sound."],
  NotSupportedError: ["no_tab_sound", "This browser cannot share sound."],
};

async function ask(open, reasons) {
  if (!navigator.mediaDevices) {
    throw new SoundError("insecure", "Browsers record only for pages by https, or of this computer (localhost).");
  }
  try {
    return await open();
  } catch (error) {
    throw new SoundError(...(reasons[error.name] ?? ["no_sound", `Recording failed: ${error.message}.`]));
  }
}
