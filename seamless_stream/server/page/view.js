/**
 * Captions on the page: one list item a segment, settled text plain, pending text dim.
 *
 * Knows segments (`transcript.js`) and the document; knows nothing of sound and of the server. Only what has changed is
 * touched. Screen readers do not hear these lists, in which words come and go, but what `announce` says.
 */

import { clock } from "./export.js";

const NEAR_PX = 120; // from the end: the reader follows what is new
const MAX_ANNOUNCED = 5;

/** A list of captions that follows the newest one, unless the reader has scrolled back. */
export class CaptionList {
  #list;
  #pane;
  #reader;
  #items = new Map(); // key of the segment -> {item, ...}
  #spoken = null;
  #follows = true;

  /**
   * @param {HTMLOListElement} list in a pane that scrolls
   * @param {string | null} reader the language of who reads this list; null: shows every translation
   */
  constructor(list, reader = null) {
    this.#list = list;
    this.#pane = list.parentElement;
    this.#reader = reader;
    this.onfollow = () => {};
    this.#pane.onscroll = () => {
      const { scrollHeight, scrollTop, clientHeight } = this.#pane;
      this.#setFollows(scrollHeight - scrollTop - clientHeight < NEAR_PX);
    };
  }

  clear() {
    this.#items.clear();
    this.#list.replaceChildren();
    this.#setFollows(true);
  }

  /** Shows a segment as it is now. */
  update(segment) {
    const parts = this.#items.get(segment.key) ?? this.#add(segment);
    const [main, source] = this.#choose(segment);
    if (segment.startMs !== null) {
      setText(parts.time, clock(segment.startMs));
      parts.time.dateTime = `PT${(segment.startMs / 1000).toFixed(1)}S`;
    }
    parts.item.classList.toggle("own", main?.role === "source");
    parts.item.classList.toggle("listening", main === undefined && !segment.isOver);
    const isEmpty = segment.isOver && !main?.stable && !source && !segment.note;
    parts.item.hidden = isEmpty;
    fill(parts.target, main);
    fill(parts.source, source);
    parts.source.hidden = source === undefined;
    parts.texts.classList.toggle("has-source", source !== undefined);
    setText(parts.note, segment.note);
    parts.note.hidden = !segment.note;
    if (this.#follows) this.follow();
  }

  /** Marks the segment that is spoken at the moment; null: none is. */
  speak(key) {
    if (key === this.#spoken) return;
    delete this.#items.get(this.#spoken)?.item.dataset.spoken;
    this.#spoken = key;
    const parts = this.#items.get(key);
    if (parts) parts.item.dataset.spoken = "";
  }

  /** Scrolls to the end. */
  follow() {
    this.#pane.scrollTop = this.#pane.scrollHeight;
  }

  #setFollows(follows) {
    if (follows !== this.#follows) this.onfollow((this.#follows = follows));
  }

  /** Large text and small text of a segment for who reads this list. */
  #choose(segment) {
    const captions = [...segment.captions.values()];
    if (this.#reader !== null) return [segment.captions.get(this.#reader), undefined];
    return [captions.find(({ role }) => role !== "source"), captions.find(({ role }) => role === "source")];
  }

  #add(segment) {
    const parts = {
      item: make("li", "segment"),
      time: make("time"),
      texts: make("div", "texts"),
      source: make("p", "source"),
      target: make("p", "target"),
      note: make("p", "note"),
    };
    for (const text of [parts.source, parts.target]) {
      text.dir = "auto";
      text.append(make("span", "stable"), make("span", "unstable"));
    }
    parts.texts.append(parts.source, parts.target, parts.note);
    parts.item.append(parts.time, parts.texts);
    parts.item.dataset.key = segment.key;
    this.#items.set(segment.key, parts);
    this.#list.append(parts.item);
    return parts;
  }
}

function fill(paragraph, caption) {
  const [stable, unstable] = paragraph.children;
  setText(stable, caption?.stable ?? "");
  setText(unstable, caption?.unstable ?? "");
  const language = caption ? tagOf(caption.language) : "";
  if (paragraph.lang !== language) paragraph.lang = language;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** An element with classes and attributes. */
export function make(name, className = "", attributes = {}) {
  const element = document.createElement(name);
  if (className) element.className = className;
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/** Says a finished caption to a screen reader, in its language. */
export function announce(region, { stable, language }) {
  const line = make("p", "", { lang: tagOf(language) });
  line.textContent = stable;
  region.append(line);
  while (region.children.length > MAX_ANNOUNCED) region.firstChild.remove();
}

/** The BCP 47 form of a code such as `cmn_Hant`. */
export function tagOf(code) {
  try {
    return Intl.getCanonicalLocales(code.replace("_", "-"))[0];
  } catch {
    return "";
  }
}

const names = new Intl.DisplayNames(["en"], { type: "language" });

/** The English name of a language code; the code itself where nobody has named it. */
export function nameOf(code) {
  const tag = tagOf(code);
  return tag ? names.of(tag) : code;
}
