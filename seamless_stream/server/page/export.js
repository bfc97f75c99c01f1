/**
 * A transcript as a file: SubRip, WebVTT or plain text.
 *
 * Pure: segments in, text out. Long captions become several cues of at most two lines.
 */

const LINE_CHARS = 42; // what subtitles usually hold
const CUE_CHARS = 2 * LINE_CHARS;

/** Finished captions in the order of time: `{startMs, endMs, text}` of one role, "target" or "source". */
export function cues(segments, role) {
  const found = [];
  for (const segment of segments) {
    const captions = [...segment.captions.values()].filter((caption) => caption.isFinal && isOf(caption, role));
    const text = captions.map((caption) => caption.stable.trim()).filter(Boolean);
    if (text.length) found.push({ startMs: segment.startMs, endMs: segment.endMs, text: text.join("\n") });
  }
  return found.sort((one, other) => one.startMs - other.startMs);
}

function isOf(caption, role) {
  return role === "source" ? caption.role === "source" : caption.role !== "source";
}

export function toText(list) {
  return list.map(({ startMs, text }) => `[${clock(startMs)}] ${text}\n`).join("");
}

export function toSrt(list) {
  const blocks = list.flatMap(split).map(({ startMs, endMs, text }, index) => {
    return `${index + 1}\n${stamp(startMs, ",")} --> ${stamp(endMs, ",")}\n${text}\n`;
  });
  return blocks.join("\n");
}

export function toVtt(list) {
  const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const blocks = list.flatMap(split).map(({ startMs, endMs, text }) => {
    return `${stamp(startMs, ".")} --> ${stamp(endMs, ".")}\n${escaped(text)}\n`;
  });
  return ["WEBVTT\n", ...blocks].join("\n");
}

/** Cues that fit on a screen; each has its part of the time by its part of the letters. */
function split({ startMs, endMs, text }) {
  const parts = wrap(text, CUE_CHARS);
  const numChars = parts.reduce((sum, part) => sum + part.length, 0);
  let atMs = startMs;
  return parts.map((part) => {
    const cue = { startMs: atMs, endMs: atMs + ((endMs - startMs) * part.length) / numChars };
    atMs = cue.endMs;
    return { ...cue, text: wrap(part, LINE_CHARS).join("\n") };
  });
}

/** Lines of at most `limit` characters, as even as words allow; writing without spaces is cut anywhere. */
function wrap(text, limit) {
  const numLines = Math.ceil(text.length / limit);
  const aim = Math.ceil(text.length / numLines);
  const lines = [""];
  for (const word of text.split(/\s+/).flatMap((word) => word.match(new RegExp(`.{1,${limit}}`, "gu")) ?? [])) {
    const line = lines.at(-1);
    const isFull = line.length >= aim || line.length + 1 + word.length > limit;
    if (line && isFull) lines.push(word);
    else lines[lines.length - 1] = line ? `${line} ${word}` : word;
  }
  return lines;
}

/** 1:02:03, or 2:03 within the first hour. */
export function clock(timeMs) {
  const seconds = Math.floor(timeMs / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (number) => String(number).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

function stamp(timeMs, point) {
  const whole = Math.round(timeMs);
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  const rest = String(whole % 1000).padStart(3, "0");
  return `${two(whole / 3_600_000)}:${two((whole / 60_000) % 60)}:${two((whole / 1000) % 60)}${point}${rest}`;
}
