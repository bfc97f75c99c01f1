/**
 * The form: what is translated, from which language into which, and how it sounds. Remembers it for the next visit.
 *
 * Knows the form's elements; knows nothing of sockets and sound.
 */

import { microphones } from "./audio.js";
import { make, nameOf } from "./view.js";

const STORE = "seamless-stream";
const TICKED = ["duck", "gate", "transcribe", "turns", "fast"];
const REMEMBERED = ["from", "to", "voice", "volume", "original", ...TICKED];
const KEY = "seamless-stream-key"; // for this tab alone

const $ = (id) => document.getElementById(id);

/** Read by `read`; `fill` offers what the server can do; `onchange` tells that something was chosen. */
export class Settings {
  #saved = load();
  #form = $("choices");
  #capabilities = null;

  constructor() {
    this.onchange = () => {};
    for (const name of ["volume", "original", ...TICKED]) restore($(name), this.#saved[name]);
    $("key").value = sessionStorage.getItem(KEY) ?? "";
    this.#form.onsubmit = (event) => event.preventDefault();
    this.#form.oninput = () => this.#changed();
    $("swap").onclick = () => this.#swap();
    navigator.mediaDevices?.addEventListener("devicechange", () => this.listMicrophones());
    this.listMicrophones();
    this.#arrange();
  }

  /** Offers the languages and voices of a session as the server described it. */
  fill({ model, capabilities }) {
    this.#capabilities = capabilities;
    const { source_languages, text_targets, speech_targets, voices = 1, features } = capabilities;
    const hasVoice = new Set(speech_targets);
    const spoken = source_languages.map((code) => [code, nameOf(code)]);
    const written = text_targets.map((code) => [code, nameOf(code) + (hasVoice.has(code) ? "" : " (text)")]);
    const numbered = Array.from({ length: Math.max(1, voices) }, (_, i) => [String(i), voices > 1 ? `Voice ${i + 1}` : "On"]);
    offer($("from"), [["", "Any"], ...sorted(spoken)], this.#saved.from ?? "");
    offer($("to"), sorted(written), this.#saved.to ?? guess(text_targets));
    offer($("voice"), speech_targets.length ? [...numbered, ["", "None, captions only"]] : [["", "None, captions only"]], this.#saved.voice ?? "0");
    $("direction").hidden = !features.includes("two_way");
    $("model-hint").textContent = hintOf(model, source_languages);
    this.#arrange();
  }

  get isFilled() {
    return this.#capabilities !== null;
  }

  get key() {
    return $("key").value.trim();
  }

  /** Asks for the server's key. */
  askKey() {
    $("key-row").hidden = false;
    $("setup").open = true;
    $("key").focus();
  }

  /** Names are known only once the page may use the microphone. */
  async listMicrophones() {
    const found = await microphones();
    const options = found.map((device, i) => [device.deviceId, device.label || `Microphone ${i + 1}`]);
    offer($("device"), [["", "As the browser chooses"], ...options.filter(([id]) => id !== "default")], $("device").value);
  }

  /** What was chosen, as `Run` wants it; `languages` for the page. */
  read() {
    const value = (name) => this.#form.elements[name].value;
    const kind = value("kind");
    const isTwoWay = !$("direction").hidden && value("direction") === "two";
    const [from, to, voice] = [$("from").value, $("to").value, $("voice").value];
    return {
      kind,
      isTwoWay,
      findsTurns: isTwoWay && $("turns").checked,
      from,
      to,
      deviceId: $("device").value,
      file: $("file").files[0] ?? null,
      isFast: kind === "file" && $("fast").checked,
      key: this.key,
      output: { ...(isTwoWay ? {} : { language: to }), ...(voice ? { voice: Number(voice) } : { mode: "text" }) },
      extra: this.#extra(from, to, isTwoWay),
      ...this.sound,
    };
  }

  /** What may change at any time. */
  get sound() {
    return {
      volume: $("volume").value / 100,
      original: $("original").value / 100,
      ducks: $("duck").checked,
      gates: $("gate").checked,
    };
  }

  #extra(from, to, isTwoWay) {
    const source = isTwoWay && $("turns").checked ? "auto" : from;
    if (isTwoWay) return { translation: { two_way: { a: from, b: to }, source_language: source } };
    if (!from) return {};
    const enabled = this.canTranscribe && $("transcribe").checked;
    return { translation: { source_language: source }, audio: { input: { transcription: { enabled } } } };
  }

  /** Whether the server writes down what was said, too. */
  get canTranscribe() {
    return this.#capabilities?.features.includes("transcription") ?? false;
  }

  /** While it runs only what can take effect may be changed. */
  lock(isRunning) {
    const open = new Set(["volume", "original", "duck", "gate"]);
    for (const element of this.#form.elements) {
      const isRadio = element.name === "kind" || element.name === "direction";
      if (isRadio || (element.id && !open.has(element.id) && element.tagName !== "FIELDSET")) element.disabled = isRunning;
    }
    if (!isRunning) this.#arrange();
  }

  #changed() {
    this.#arrange();
    sessionStorage.setItem(KEY, this.key);
    for (const name of REMEMBERED) this.#saved[name] = $(name).type === "checkbox" ? $(name).checked : $(name).value;
    localStorage.setItem(STORE, JSON.stringify(this.#saved));
    this.onchange();
  }

  #swap() {
    const [from, to] = [$("from").value, $("to").value];
    if (from) $("to").value = from;
    $("from").value = to;
    this.#changed();
  }

  /** Shows what belongs to the choices made. */
  #arrange() {
    const { kind, isTwoWay, from, to, isFast, file } = this.read();
    for (const part of this.#form.querySelectorAll("[data-kind]")) part.hidden = part.dataset.kind !== kind;
    $("from-label").textContent = isTwoWay ? "One speaks" : "Spoken";
    $("to-label").textContent = isTwoWay ? "The other speaks" : "Translated into";
    $("from").options[0].hidden = isTwoWay;
    if (isTwoWay && !from) $("from").value = [...$("from").options].find(({ value }) => value && value !== to)?.value ?? "";
    $("turns-row").hidden = !isTwoWay;
    $("transcribe-row").hidden = !this.canTranscribe || isTwoWay || !from;
    $("voice").disabled = isFast;
    const languages = `${nameOfOption($("from"))} ${isTwoWay ? "⇄" : "→"} ${nameOfOption($("to"))}`;
    const source = { microphone: "Microphone", tab: "Tab or system", file: file?.name ?? "File" }[kind];
    $("summary-text").textContent = this.isFilled ? `${source} · ${languages}` : "What to translate";
  }
}

function hintOf(model, languages) {
  if (model !== "phrasebook") return `Model: ${model}`;
  const names = new Intl.ListFormat("en").format(languages.map(nameOf));
  return `This server runs the small phrasebook: travel phrases in ${names}, such as “Where is the station?”, and nothing else.`;
}

/** The visitor's own language, if it is not the one most often spoken. */
function guess(codes) {
  const own = new Intl.Locale(navigator.language).language;
  const named = new Map(codes.map((code) => [new Intl.Locale(code.replace("_", "-")).language, code]));
  return named.get(own === "en" ? "es" : own) ?? codes[0];
}

function nameOfOption(select) {
  return select.selectedOptions[0]?.textContent ?? "";
}

function sorted(options) {
  return options.sort(([, one], [, other]) => one.localeCompare(other));
}

function offer(select, options, chosen) {
  select.replaceChildren(
    ...options.map(([value, text]) => {
      const option = make("option", "", { value });
      option.textContent = text;
      return option;
    }),
  );
  select.value = options.some(([value]) => value === chosen) ? chosen : options[0]?.[0] ?? "";
}

function restore(element, value) {
  if (value === undefined) return;
  if (element.type === "checkbox") element.checked = value;
  else element.value = value;
}

function load() {
  try {
    return JSON.parse(localStorage.getItem(STORE)) ?? {};
  } catch {
    return {};
  }
}
