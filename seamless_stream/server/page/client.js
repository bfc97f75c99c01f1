/**
 * A live translation over the WebSocket of `seamless-stream serve`, as one importable module without dependencies.
 *
 * Knows the dialect `seamless-stream.v1` (docs/protocol.md of the project): binary audio both ways, acks, flush,
 * reconnection. Knows no microphone, no loudspeaker and no page; docs/web.md shows how to use it. It is one file, and so
 * a long one, because others take it.
 *
 *     const client = new TranslationClient({ url, input: { rate: 48000 }, output: { language: "es", rate: 48000 } });
 *     client.addEventListener("segment.final", (event) => console.log(event.detail.text));
 *     await client.connect();
 *     client.send(float32Samples); // any length, as often as there are some
 *     await client.close();        // translates what was sent, then ends
 *
 * Events. Every message of the server is an event of its `type`, whose `detail` is the message with two more fields:
 * `session_number`, 0, 1, 2 ... (one more whenever a lost session had to be begun anew) and `offset_ms`, the source time at
 * which that session began. Besides there are
 *   `audio`   translated speech: `{samples, rate, first_sample, segment_id, output, session_number, offset_ms}`
 *   `state`   `{state, error}`: "connecting", "open", "reconnecting", "closing" or "closed"
 *   `lost`    `{duration_ms}`: audio that could not be kept while there was no connection
 *
 * A connection that breaks is taken up again: the server sends what was missed, we send what it has not got. Where the
 * server no longer knows the session a new one begins, with the audio that the old one had not taken.
 */

export const PROTOCOL = "seamless-stream.v1";

const HEADER_BYTES = 24;
const OUTPUT_PCM = 2;
const MAX_WAITING_BYTES = 1 << 20; // in the socket, before `room` makes a fast sender wait
const FAST_AHEAD_MS = 60_000; // not yet taken by the server, where it drops nothing
const MAX_JOINED_MS = 1_000; // of what waits, in one message: they are counted
const SILENT_MS = 15_000; // the server has a heartbeat of five seconds
const ANSWER_MS = 10_000; // for the reason of a refusal
const GREETING_MS = 20_000; // for the first word on a socket
const COME_BACK = 4000; // a close code: 1000, 1001 and none would end the session
// Close codes after which another attempt would end the same way; all others are worth one.
const FINAL_CODES = new Set([1000, 1003, 1007, 1008, 1009, 4400, 4401, 4403, 4409, 4413, 4429]);
const FINAL_REFUSALS = new Set(["invalid_api_key", "origin_not_allowed", "model_not_found", "not_found"]);
const REASONS = {
  1013: ["server_full", "The server has no room for another session."],
  4409: ["taken_over", "The session goes on in another window."],
  4413: ["session_expired", "The session has lasted as long as the server allows."],
  4429: ["too_many_messages", "Too many messages were sent."],
};

/** Why a session could not begin or has ended; `code` is that of the protocol, or "unreachable", "lost", "closed". */
export class TranslationError extends Error {
  constructor(code, message, param = null) {
    super(message);
    this.name = "TranslationError";
    this.code = code;
    this.param = param;
  }
}

/** One conversation with the server; see the head of this file. */
export class TranslationClient extends EventTarget {
  #options;
  #socket = null;
  #state = "idle";
  #session = null; // as the server described it last
  #number = -1; // of the session, for events
  #offsetMs = 0;
  #token = null; // with which the session can be resumed
  #isOpen = false; // messages may be written now
  #isClosing = false;
  #lastSeq = -1; // of the JSON messages received
  #lastFrame = -1; // of the binary ones
  #unsent = []; // {data, durationMs}; text has no duration
  #kept = []; // sent, and not acknowledged yet
  #numTaken = 0; // messages of this session that the server has
  #takenMs = 0;
  #limitMs = 0; // how far the audio of this session may go by now
  #sentMs = 0; // all audio given to `send`
  #waiting = new Map(); // event_id or marker -> deferred
  #numAsked = 0;
  #tries = 0;
  #attempt = 0;
  #timer = 0;
  #watch = 0;
  #lostAt = 0;
  #heardAt = 0;
  #lastError = null;
  #closed = deferred();

  /**
   * @param {object} options
   * @param {string} options.url `ws(s)://HOST/v1/realtime/translations`
   * @param {string} [options.key] API key or client token
   * @param {string} [options.model]
   * @param {{rate?: number, pacing?: "realtime" | "fast"}} [options.input] 48000 and realtime where left out
   * @param {{language?: string, rate?: number, voice?: number, mode?: "speech" | "text"}} [options.output]
   * @param {object} [options.extra] more of `session` in `session.update`, merged over what is made of the above
   * @param {number} [options.patienceMs] how long a lost connection is tried again; default: 60 s
   * @param {number} [options.keepMs] how much audio is kept for the server meanwhile; default: 60 s
   */
  constructor(options) {
    super();
    this.#options = { model: "auto", patienceMs: 60_000, keepMs: 60_000, extra: {}, ...options };
    this.#options.input = { rate: 48_000, pacing: "realtime", ...options.input };
    this.#options.output = { rate: 24_000, ...options.output };
  }

  /** "idle", "connecting", "open", "reconnecting", "closing" or "closed". */
  get state() {
    return this.#state;
  }

  /** The session as the server described it last: id, audio, capabilities, limits. */
  get session() {
    return this.#session;
  }

  /** Source time given to `send` so far: the clock of all times that the server tells. */
  get sentMs() {
    return this.#sentMs;
  }

  /** Resolves with the session once audio may be sent; rejects with a TranslationError. */
  async connect() {
    if (this.#state !== "idle") throw new Error("`connect` may be called once.");
    this.#setState("connecting");
    this.#watch = setInterval(() => this.#check(), 1_000);
    try {
      await this.#begin();
    } catch (error) {
      this.#end(error);
      throw error;
    }
    return this.#session;
  }

  /** @param {Float32Array} samples mono, in [-1, 1], at `input.rate`; kept until the server has them */
  send(samples) {
    if (this.#isClosing || this.#state === "idle" || this.#state === "closed") return;
    const durationMs = (1000 * samples.length) / this.#options.input.rate;
    this.#sentMs += durationMs;
    this.#post(toPcm(samples), durationMs);
    if (!this.#isOpen) this.#forget();
  }

  /** Resolves when nothing waits and the socket has room; for senders that are faster than time. */
  async room() {
    const isFull = () => !this.#isOpen || this.#unsent.length || this.#socket.bufferedAmount > MAX_WAITING_BYTES;
    while (this.#state !== "closed" && isFull()) await sleep(50);
  }

  /** Tells how far speech was played: all before this sample of the first output clock, of the session of this number. */
  played(upToSample, sessionNumber) {
    if (sessionNumber !== this.#number || this.#state !== "open" || !this.#isOpen) return;
    const data = JSON.stringify({ type: "output_audio.played", up_to_sample: upToSample });
    this.#write({ data, durationMs: 0 }); // before what waits: it is about now
  }

  /** Finishes all audio so far, without ending the session; resolves when its translation has come. */
  flush() {
    const marker = `m${this.#numAsked++}`;
    return this.#ask(marker, { type: "input_audio.flush", marker });
  }

  /** Changes the session, as in `{audio: {output: {language: "fr"}}}`; resolves with what it is now. */
  async update(session) {
    const answer = await this.#configure(session);
    this.#options.extra = merge(this.#options.extra, session);
    return answer;
  }

  /** Translates what was sent and ends the session; resolves with `{reason, usage}`, or null where it was lost. */
  close() {
    if (this.#isClosing || this.#state === "closed") return this.#closed.promise;
    this.#isClosing = true;
    if (this.#session === null) this.abort();
    if (this.#state === "open") this.#setState("closing");
    if (this.#state !== "closed") this.#post(CLOSE);
    return this.#closed.promise;
  }

  /** Ends the session at once. */
  abort() {
    this.#end(null);
  }

  // The connection.

  /** A socket that was answered once; rejects with a TranslationError. `first`: what we say before the server does. */
  async #connect(query, first = null) {
    const { url, key } = this.#options;
    const address = new URL(url);
    for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
    let socket;
    try {
      socket = new WebSocket(address, key ? [PROTOCOL, `bearer.${key}`] : [PROTOCOL]);
    } catch {
      throw new TranslationError("invalid_api_key", "The key holds characters that a browser cannot send.");
    }
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#lastError = null;
    const greeted = deferred();
    socket.onopen = () => first && socket.send(JSON.stringify(first));
    socket.onmessage = (event) => socket === this.#socket && this.#receive(event.data, greeted);
    socket.onclose = (event) => {
      const isSettled = greeted.isSettled;
      greeted.reject(this.#lastError ?? new TranslationError("unreachable", "The server cannot be reached."));
      if (isSettled && socket === this.#socket) this.#lost(event.code);
    };
    const timer = setTimeout(() => {
      if (socket === this.#socket) this.#socket = null; // its end may come late, and is of no interest
      greeted.reject(new TranslationError("no_answer", "The server does not answer."));
      socket.close();
    }, Math.min(GREETING_MS, this.#options.patienceMs));
    try {
      await greeted.promise;
    } catch (error) {
      throw error.code === "unreachable" ? await diagnose(address, key) : error;
    } finally {
      clearTimeout(timer);
    }
  }

  /** A new session; audio that the one before did not take is its beginning. */
  async #begin() {
    const { input, output, extra, model } = this.#options;
    await this.#connect({ model });
    this.#refuse(new TranslationError("lost", "The session was lost; a new one has begun."));
    this.#unsent.unshift(...this.#kept.filter((item) => item.durationMs > 0));
    this.#unsent = this.#unsent.filter((item) => item.durationMs > 0);
    if (this.#isClosing) this.#unsent.push({ data: CLOSE, durationMs: 0 });
    this.#kept = [];
    this.#offsetMs = this.#sentMs - durationOf(this.#unsent);
    this.#numTaken = this.#takenMs = 0;
    this.#allow(0, this.#session.limits.max_ahead_ms);
    const { rate, ...rest } = output;
    const format = { type: "audio/pcm", encoding: "s16le", rate: input.rate, channels: 1 };
    const wanted = {
      audio: { input: { format, pacing: input.pacing }, output: { ...rest, format: { type: "audio/pcm", rate } } },
    };
    const asked = this.#makeUpdate(merge(wanted, extra));
    this.#write(asked.item);
    await asked.promise;
    this.#proceed();
  }

  async #resume() {
    const hello = {
      type: "session.resume",
      token: this.#token,
      last_seq: this.#lastSeq,
      last_frame: this.#lastFrame,
    };
    await this.#connect({ resume: this.#session.id }, hello);
    for (const item of this.#kept) this.#socket.send(item.data);
    this.#proceed();
  }

  #proceed() {
    this.#isOpen = true;
    this.#tries = 0;
    this.#flow();
    this.#setState(this.#isClosing ? "closing" : "open");
  }

  #check() {
    if (!this.#isOpen || performance.now() - this.#heardAt < SILENT_MS) return;
    const socket = this.#socket;
    this.#socket = null; // its own end may take minutes to be noticed
    socket.close(COME_BACK);
    this.#lost(1006);
  }

  #lost(code) {
    this.#isOpen = false;
    const error = this.#lastError ?? new TranslationError(...(REASONS[code] ?? ["lost", "The connection was lost."]));
    if (FINAL_CODES.has(code) || this.#closed.isSettled || this.#state === "connecting") {
      this.#end(code === 1000 ? null : error);
      return;
    }
    if (this.#state !== "reconnecting") {
      this.#lostAt = performance.now();
      this.#setState("reconnecting", error);
    }
    this.#retry();
  }

  #retry() {
    const attempt = ++this.#attempt;
    const delayMs = Math.min(8_000, 250 * 2 ** this.#tries++) * (0.5 + Math.random());
    this.#timer = setTimeout(async () => {
      try {
        await (this.#token === null ? this.#begin() : this.#resume());
      } catch (error) {
        if (attempt !== this.#attempt || this.#state !== "reconnecting") return;
        if (error.code === "unknown_session") this.#token = null;
        const isOver = performance.now() - this.#lostAt > this.#options.patienceMs;
        if (isOver || FINAL_REFUSALS.has(error.code)) this.#end(error);
        else this.#retry();
      }
    }, delayMs);
  }

  #end(error) {
    if (this.#state === "closed") return;
    clearTimeout(this.#timer);
    clearInterval(this.#watch);
    const socket = this.#socket;
    this.#socket = null;
    this.#isOpen = false;
    socket?.close(1000);
    this.#refuse(error ?? new TranslationError("closed", "The session is over."));
    this.#kept = [];
    this.#unsent = [];
    this.#setState("closed", error);
    this.#closed.resolve(null);
  }

  #setState(state, error = null) {
    this.#state = state;
    this.#tell("state", { state, error });
  }

  // Messages of the server.

  #receive(data, greeted) {
    this.#heardAt = performance.now();
    if (data instanceof ArrayBuffer) {
      this.#receiveAudio(data);
      return;
    }
    const message = JSON.parse(data);
    this.#lastSeq = message.seq ?? this.#lastSeq;
    if (message.type === "session.created" || message.type === "session.resumed") {
      if (message.type === "session.created") {
        this.#number += 1;
        this.#lastFrame = -1;
      }
      this.#session = { ...this.#session, ...message.session };
      this.#token = message.session?.resume?.token ?? this.#token;
      this.#acknowledge(message.message_seq);
      greeted.resolve();
    } else if (message.type === "session.updated") {
      this.#session = { ...this.#session, ...message.session };
      this.#answer([...this.#waiting.keys()].find((id) => id.startsWith("c")), message.session); // they come in order
    } else if (message.type === "audio.ack") {
      this.#acknowledge(message.message_seq);
      this.#allow(message.received_ms, message.credit_ms);
      this.#flow();
    } else if (message.type === "input_audio.flushed") {
      this.#answer(message.marker, message);
    } else if (message.type === "session.go_away") {
      this.#isOpen = false; // what comes now is for the session after this one
    } else if (message.type === "session.closed") {
      this.#finish(message);
    } else if (message.type === "error") {
      this.#receiveError(message.error);
    }
    this.#tell(message.type, message);
  }

  #receiveError(detail) {
    const error = new TranslationError(detail.code, detail.message, detail.param);
    if (!detail.recoverable) this.#lastError = error;
    this.#waiting.get(detail.event_id)?.reject(error);
    this.#waiting.delete(detail.event_id);
  }

  #receiveAudio(data) {
    const view = new DataView(data);
    if (data.byteLength < HEADER_BYTES || view.getUint8(0) !== 1 || view.getUint8(1) !== OUTPUT_PCM) return;
    this.#lastFrame = view.getUint32(4, true);
    if (data.byteLength === HEADER_BYTES) return; // it only says that the segment's speech is over
    this.#tell("audio", {
      samples: toFloats(new Int16Array(data, HEADER_BYTES)),
      rate: this.#options.output.rate,
      first_sample: Number(view.getBigUint64(8, true)),
      segment_id: `s${view.getUint32(16, true)}`,
      output: view.getUint8(3),
    });
  }

  #finish({ reason, usage }) {
    this.#token = null;
    while (this.#kept.length && this.#takenMs < usage.audio_in_ms) this.#take();
    if (this.#isClosing) this.#closed.resolve({ reason, usage });
  }

  #acknowledge(count = 0) {
    while (this.#numTaken < count && this.#kept.length) this.#take();
  }

  #take() {
    this.#takenMs += this.#kept.shift().durationMs;
    this.#numTaken += 1;
  }

  // Messages to it.

  #configure(session) {
    const { promise, item } = this.#makeUpdate(session);
    this.#post(item.data);
    return promise;
  }

  #makeUpdate(session) {
    const event_id = `c${this.#numAsked++}`;
    const waiting = deferred();
    this.#waiting.set(event_id, waiting);
    return {
      promise: waiting.promise,
      item: { data: JSON.stringify({ type: "session.update", event_id, session }), durationMs: 0 },
    };
  }

  #ask(id, message) {
    const waiting = deferred();
    this.#waiting.set(id, waiting);
    this.#post(JSON.stringify(message));
    return waiting.promise;
  }

  #answer(id, value) {
    this.#waiting.get(id)?.resolve(value);
    this.#waiting.delete(id);
  }

  #refuse(error) {
    for (const { reject } of this.#waiting.values()) reject(error);
    this.#waiting.clear();
  }

  #post(data, durationMs = 0) {
    if (this.#isOpen && !this.#unsent.length) {
      this.#write({ data, durationMs });
    } else {
      this.#unsent.push({ data, durationMs });
      this.#flow();
    }
  }

  #allow(receivedMs, creditMs) {
    this.#limitMs = receivedMs + (this.#options.input.pacing === "fast" ? FAST_AHEAD_MS : creditMs);
  }

  /**
   * Writes of what waits as much as the server has room for. Where far too much waits it goes all the same: the server
   * then tells what it leaves out.
   */
  #flow() {
    const maxMs = 2 * this.#options.keepMs;
    let aheadMs = this.#takenMs + durationOf(this.#kept) - this.#limitMs;
    while (this.#isOpen && this.#unsent.length && (aheadMs < 0 || durationOf(this.#unsent) > maxMs)) {
      const item = takeJoined(this.#unsent, this.#session.limits.max_message_bytes);
      this.#write(item);
      aheadMs += item.durationMs;
    }
  }

  #write(item) {
    this.#kept.push(item);
    this.#socket.send(item.data);
  }

  #forget() {
    const { keepMs } = this.#options;
    let waitingMs = durationOf(this.#unsent);
    let lostMs = 0;
    while (waitingMs - lostMs > keepMs) {
      const oldest = this.#unsent.findIndex((item) => item.durationMs > 0); // messages stay
      lostMs += this.#unsent.splice(oldest, 1)[0].durationMs;
    }
    if (lostMs) this.#tell("lost", { duration_ms: lostMs });
  }

  #tell(type, fields) {
    const detail = { ...fields, session_number: this.#number, offset_ms: this.#offsetMs };
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/**
 * The captions of somebody else's session, as server-sent events; events as above, and `state` with "open",
 * "reconnecting" or "closed", the last with the `error`: the session is over, or was never there. Whenever the
 * connection is made there comes a `transcript.snapshot` first.
 */
export class CaptionListener extends EventTarget {
  #source;
  #isOver = false;

  /** @param {string | URL} url `http(s)://HOST/v1/realtime/translations/SESSION_ID/captions?token=TOKEN` */
  constructor(url) {
    super();
    this.#source = new EventSource(url);
    this.#source.onopen = () => this.#tell("state", { state: "open" });
    this.#source.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      this.#tell(message.type, { ...message, session_number: 0, offset_ms: 0 });
      if (message.type === "session.closed") this.close();
    };
    this.#source.onerror = async () => {
      if (this.#isOver) return;
      const isLost = this.#source.readyState === EventSource.CLOSED; // refused; else the browser tries again
      if (isLost) this.#tell("state", { state: "closed", error: await diagnose(url) });
      else this.#tell("state", { state: "reconnecting" });
    };
  }

  close() {
    this.#isOver = true;
    this.#source.close();
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

const CLOSE = JSON.stringify({ type: "session.close" });

/** A browser does not tell why a socket or a stream was refused; the same request without one does. */
async function diagnose(address, key = null) {
  const where = new URL(address);
  where.protocol = where.protocol.replace("ws", "http");
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  try {
    const answer = await fetch(where, { headers, cache: "no-store", signal: AbortSignal.timeout(ANSWER_MS) });
    const { error } = await answer.json();
    return new TranslationError(error.code, error.message);
  } catch {
    return new TranslationError("unreachable", "The server cannot be reached.");
  }
}

function durationOf(items) {
  return items.reduce((sum, item) => sum + item.durationMs, 0);
}

/** The first of the items, with the audio behind it as far as one message may hold it. */
function takeJoined(items, maxBytes) {
  const taken = [items.shift()];
  let { durationMs, data } = taken[0];
  let size = data.byteLength;
  while (durationMs > 0 && items[0]?.durationMs > 0) {
    size += items[0].data.byteLength;
    if (durationMs + items[0].durationMs > MAX_JOINED_MS || size > maxBytes) break;
    durationMs += items[0].durationMs;
    taken.push(items.shift());
  }
  if (taken.length > 1) data = join(taken.map((item) => item.data));
  return { data, durationMs };
}

function join(buffers) {
  const joined = new Uint8Array(buffers.reduce((sum, buffer) => sum + buffer.byteLength, 0));
  let at = 0;
  for (const buffer of buffers) {
    joined.set(new Uint8Array(buffer), at);
    at += buffer.byteLength;
  }
  return joined.buffer;
}

/** 16-bit little-endian PCM, as the wire has it. */
function toPcm(samples) {
  const pcm = new Int16Array(samples.length); // every browser runs on little-endian machines
  for (let i = 0; i < samples.length; i++) {
    pcm[i] = Math.max(-32_768, Math.min(32_767, Math.round(samples[i] * 32_768)));
  }
  return pcm.buffer;
}

function toFloats(pcm) {
  const samples = new Float32Array(pcm.length);
  for (let i = 0; i < pcm.length; i++) samples[i] = pcm[i] / 32_768;
  return samples;
}

function deferred() {
  const made = { isSettled: false };
  made.promise = new Promise((resolve, reject) => {
    made.resolve = (value) => ((made.isSettled = true), resolve(value));
    made.reject = (error) => ((made.isSettled = true), reject(error));
  });
  made.promise.catch(() => {}); // whoever waits hears of it; nobody else has to
  return made;
}

function merge(base, over) {
  const merged = { ...base };
  for (const [name, value] of Object.entries(over)) {
    const isDeep = value && merged[name] && typeof value === "object" && !Array.isArray(value);
    merged[name] = isDeep ? merge(merged[name], value) : value;
  }
  return merged;
}

function sleep(durationMs) {
  return new Promise((resolve) => setTimeout(resolve, durationMs));
}
