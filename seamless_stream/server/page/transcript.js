/**
 * What was said and what it means: segments with their captions, built from the messages of the server.
 *
 * Knows no page and no socket. The same messages come from a session and to a listener.
 */

/**
 * A segment: `{key, startMs, endMs, captions, sourceLanguage, isOver, isCancelled, note}`; `captions` maps a language
 * to `{language, role, stable, unstable, isFinal}`.
 */
export class Transcript {
  #segments = new Map();

  /** In the order in which they began. */
  get segments() {
    return [...this.#segments.values()];
  }

  clear() {
    this.#segments.clear();
  }

  /** @returns the segment that a message has changed; null: it changes none */
  apply(message) {
    const make = CHANGES[message.type];
    if (make === undefined) return null;
    const segment = this.#find(message);
    make(segment, message, message.offset_ms ?? 0);
    return segment;
  }

  /** All segments that a `transcript.snapshot` tells of. */
  applySnapshot({ segments, open, session_number, offset_ms }) {
    const typed = [["segment.final", segments], ["segment.updated", open]]; // whole messages but for their type
    const found = typed.flatMap(([type, messages]) => {
      return messages.map((message) => this.apply({ ...message, type, session_number, offset_ms }));
    });
    return found.filter((segment, index) => segment !== null && found.indexOf(segment) === index);
  }

  /** The segment of a binary message, or of an event. */
  #find({ session_number = 0, segment_id }) {
    const key = keyOf(session_number, segment_id);
    if (!this.#segments.has(key)) this.#segments.set(key, newSegment(key));
    return this.#segments.get(key);
  }
}

export function keyOf(sessionNumber, segmentId) {
  return `${sessionNumber}/${segmentId}`;
}

function newSegment(key) {
  const texts = { captions: new Map(), sourceLanguage: null, note: "" };
  return { key, startMs: null, endMs: null, isOver: false, isCancelled: false, ...texts };
}

const CHANGES = {
  "segment.started": (segment, message, offsetMs) => {
    segment.startMs = message.start_ms + offsetMs;
  },
  "segment.updated": (segment, { language, role, stable, unstable }) => {
    if (segment.captions.get(language)?.isFinal) return;
    segment.captions.set(language, { language, role: role ?? null, stable, unstable, isFinal: false });
  },
  "segment.final": (segment, { language, role, text, start_ms, end_ms }, offsetMs) => {
    segment.startMs = start_ms + offsetMs;
    segment.endMs = end_ms + offsetMs;
    segment.captions.set(language, { language, role: role ?? null, stable: text, unstable: "", isFinal: true });
  },
  "segment.direction": (segment, { source_language, target_language }) => {
    segment.sourceLanguage = source_language;
    for (const caption of segment.captions.values()) {
      if (caption.language === source_language) caption.role = "source";
      if (caption.language === target_language) caption.role = "target";
    }
  },
  "segment.cancelled": (segment, { message }) => {
    segment.isCancelled = segment.isOver = true;
    segment.note = message;
  },
  "segment.skipped": (segment, { what, reason }) => {
    segment.note = `${what}: ${reason}`;
  },
  "segment.ended": (segment, { start_ms, end_ms }, offsetMs) => {
    segment.startMs = start_ms + offsetMs;
    segment.endMs = end_ms + offsetMs;
    segment.isOver = true;
  },
};
