/**
 * One translation from Start to the end: a source of sound, a client of the server, a player of what comes back.
 *
 * Knows no document. Tells by events of its own: those of the client (see `client.js`), and
 *   `level`  `{rms}`      what is heard, fifty times a second
 *   `lag`    `{behindMs, captionMs, speechMs, waitingS, factor}` how late it is; null where nothing is known yet
 *   `speak`  `{key}`      the segment that is spoken now; null: silence
 *   `end`    `{error}`    it is over; null: as it should be
 */

import { Player, Source, decodeFile, openContext, stopped } from "./audio.js";
import { TranslationClient } from "./client.js";
import { keyOf } from "./transcript.js";

const FAST_RATE = 16_000; // what the model hears; a file that nobody listens to needs no more
const FAST_PIECE_S = 0.2;
const SETTLE_MS = 300;
const PLAYED_MS = 250; // between two reports of what was played

/**
 * `choice`: {kind, deviceId, file, isFast, url, key, output, extra, volume, original, ducks, gates}; `before`: the time
 * and the number of sessions of earlier runs, after which those of this one are counted.
 */
export class Run extends EventTarget {
  #choice;
  #before;
  #numSessions = 0;
  #context = null;
  #source = null;
  #player = null;
  #client = null;
  #lag = { behindMs: null, captionMs: null, speechMs: null, waitingS: 0, factor: null };
  #starts = new Map(); // key of a segment -> where it began, until it is spoken
  #spoken = null;
  #played = { upTo: 0, toldMs: 0 };
  #isStopping = false;
  #isOver = false;

  constructor(choice, before = { ms: 0, sessions: 0 }) {
    super();
    this.#choice = choice;
    this.#before = before;
  }

  /** What the next run must be given. */
  get after() {
    const { ms, sessions } = this.#before;
    return { ms: ms + (this.#client?.sentMs ?? 0), sessions: sessions + this.#numSessions };
  }

  get client() {
    return this.#client;
  }

  /** The element that plays a file; null: none does. */
  media = null;

  /** Asks for the sound, then for a session; rejects with a SoundError or a TranslationError. */
  async start() {
    try {
      await (this.#choice.isFast ? this.#startFast() : this.#startLive());
    } catch (error) {
      const isTold = this.#isStopping && this.#client !== null; // the client's end is this one's
      if (!isTold) await this.#finish(error);
      throw error;
    }
  }

  async #startLive() {
    const { kind, deviceId, file, volume, original, ducks } = this.#choice;
    const context = await openContext();
    if (this.#isOver) {
      await context.close();
      throw stopped();
    }
    this.#context = context;
    this.#source = new Source(this.#context);
    this.#source.onend = () => this.stop();
    if (kind === "microphone") await this.#source.openMicrophone(deviceId);
    if (kind === "tab") await this.#source.openTab();
    this.#player = new Player(this.#context);
    this.adjust({ volume, original, ducks });
    this.#player.onstate = (state) => this.#hearPlayer(state);
    const rate = this.#context.sampleRate;
    this.#open({ rate, pacing: "realtime" }, { rate });
    const connected = this.#client.connect();
    this.#source.onpiece = (piece) => this.#hear(piece); // the client keeps what is said meanwhile
    await connected;
    if (kind === "file") this.media = await this.#source.openFile(file);
  }

  async #startFast() {
    const samples = await decodeFile(this.#choice.file, FAST_RATE);
    if (this.#isOver) throw stopped();
    this.#open({ rate: FAST_RATE, pacing: "fast" }, { mode: "text" });
    await this.#client.connect();
    this.#feed(samples);
  }

  async #feed(samples) {
    const size = FAST_RATE * FAST_PIECE_S;
    for (let at = 0; at < samples.length && !this.#isStopping; at += size) {
      this.#client.send(samples.subarray(at, at + size));
      await this.#client.room();
    }
    await this.stop();
  }

  #open(input, output) {
    const { url, key, extra } = this.#choice;
    this.#client = new TranslationClient({ url, key, input, output: { ...this.#choice.output, ...output }, extra });
    const events = "session.created session.resumed session.updated session.closed session.go_away state lost warning";
    for (const type of [...events.split(" "), ...SEGMENTS]) this.#client.addEventListener(type, (event) => this.#pass(event));
    this.#client.addEventListener("audio", ({ detail }) => {
      const { first_sample, output, session_number } = detail;
      this.#player?.push(detail.samples, this.#keyOf(detail), { first_sample, output, session_number });
    });
    this.#client.addEventListener("heartbeat", ({ detail }) => this.#tellLag({ factor: detail.realtime_factor ?? null }));
    this.#client.addEventListener("audio.ack", ({ detail }) => {
      this.#tellLag({ behindMs: Math.max(0, this.#client.sentMs - detail.processed_ms - detail.offset_ms) });
    });
  }

  #pass({ type, detail }) {
    if (type === "session.created") this.#numSessions = detail.session_number + 1;
    if (type === "segment.started") this.#starts.set(this.#keyOf(detail), detail.start_ms + detail.offset_ms);
    if (type === "segment.final") {
      this.#tellLag({ captionMs: Math.max(0, this.#client.sentMs - detail.end_ms - detail.offset_ms) });
    }
    if (type === "state" && detail.state === "closed") this.#finish(detail.error);
    const { ms, sessions } = this.#before;
    const place = { session_number: detail.session_number + sessions, offset_ms: detail.offset_ms + ms };
    this.#tell(type, { ...detail, ...place });
  }

  #keyOf(detail) {
    return keyOf(detail.session_number + this.#before.sessions, detail.segment_id);
  }

  // Sound.

  #hear({ samples, rms }) {
    const isGated = this.#choice.gates && this.#choice.kind === "microphone" && this.#player.state.isPlaying;
    if (isGated) samples.fill(0); // the clock must go on
    this.#client.send(samples);
    this.#tell("level", { rms: isGated ? 0 : rms });
  }

  #hearPlayer({ isPlaying, segment, heard, waitingS }) {
    this.#source?.duck(isPlaying && this.#choice.ducks);
    this.#tellLag({ waitingS });
    this.#tellPlayed(heard);
    if (segment === this.#spoken) return;
    this.#spoken = segment;
    if (this.#starts.has(segment)) {
      this.#tellLag({ speechMs: this.#client.sentMs - this.#starts.get(segment) });
      this.#starts.delete(segment);
    }
    this.#tell("speak", { key: segment });
  }

  /** The server's echo guard and warnings want to know it; of several languages the first one's clock counts. */
  #tellPlayed(heard) {
    if (heard === null || heard.place.output !== 0) return;
    const upTo = heard.place.first_sample + heard.numSamples;
    const now = performance.now();
    if (upTo === this.#played.upTo || now - this.#played.toldMs < PLAYED_MS) return;
    this.#played = { upTo, toldMs: now };
    this.#client.played(upTo, heard.place.session_number);
  }

  /** Changes what is heard: `{volume, original}` from 0 to 1, `{ducks, gates}`. */
  adjust(changes) {
    Object.assign(this.#choice, changes);
    const { volume, original } = this.#choice;
    this.#player?.volume.gain.setTargetAtTime(volume ** 2, this.#context.currentTime, 0.03);
    this.#source?.setLevel(original ** 2);
  }

  // The end.

  /** Hears no more, and lets what was said be translated and spoken. */
  async stop() {
    if (this.#isStopping) return;
    this.#isStopping = true;
    this.#source?.close();
    this.#tell("level", { rms: 0 });
    await this.#client?.close(); // `#finish` comes by its event
  }

  /** Ends at once. */
  async abort() {
    this.#isStopping = true;
    this.#player?.clear();
    this.#client?.abort();
    await this.#finish(null);
  }

  async #finish(error) {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#isStopping = true;
    this.#source?.close();
    this.#tell("end", { error });
    await sleep(SETTLE_MS); // the player tells of what it was given last
    while (this.#context?.state === "running" && this.#isSpeaking) await sleep(100);
    this.#tell("speak", { key: null });
    this.#player?.close();
    await this.#context?.close();
  }

  get #isSpeaking() {
    const state = this.#player?.state;
    return state !== undefined && (state.isPlaying || state.waitingS > 0);
  }

  #tellLag(changes) {
    Object.assign(this.#lag, changes);
    this.#tell("lag", this.#lag);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** Messages that the captions are made of. */
export const SEGMENTS = [
  ...["started", "updated", "final", "cancelled", "skipped", "ended", "direction"].map((name) => `segment.${name}`),
  "transcript.snapshot",
];

function sleep(durationMs) {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}
