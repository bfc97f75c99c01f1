/**
 * The two dialogs: saving the transcript as a file, and the link for those who read along.
 *
 * Knows the document; is given segments and links.
 */

import { cues, toSrt, toText, toVtt } from "./export.js";
import { encode } from "./qr.js";

const $ = (id) => document.getElementById(id);
const FORMS = {
  srt: [toSrt, "application/x-subrip"],
  vtt: [toVtt, "text/vtt"],
  txt: [toText, "text/plain"],
};
const QUIET_MODULES = 4;

/** Lets the Save dialog write what `segments()` returns. */
export function prepareSave(segments) {
  $("show-save").onclick = () => {
    const hasSource = cues(segments(), "source").length > 0;
    const [target, source] = document.getElementsByName("role");
    source.disabled = !hasSource;
    if (!hasSource) target.checked = true;
    $("save").showModal();
  };
  for (const button of $("save").querySelectorAll("[data-form]")) {
    button.onclick = () => {
      const role = $("save").querySelector("[name=role]:checked").value;
      save(button.dataset.form, cues(segments(), role), role);
      $("save").close();
    };
  }
}

function save(form, list, role) {
  const [write, type] = FORMS[form];
  const address = URL.createObjectURL(new Blob([write(list)], { type: `${type};charset=utf-8` }));
  const link = document.createElement("a");
  const time = new Date().toISOString().slice(0, 16).replace("T", " ").replace(":", ".");
  link.href = address;
  link.download = `${role === "source" ? "Transcript" : "Translation"} ${time}.${form}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

/** The link of a session for listeners; null: the server has none. */
export function linkOf(session) {
  const token = session?.listen?.token;
  if (!token) return null;
  const link = new URL("/", location.href);
  link.hash = `listen=${session.id}/${token}`;
  return link.href;
}

/** The session and the token of a listener's link; null: this page is no listener's. */
export function listenerOf(hash) {
  const found = /^#listen=([^/]+)\/(.+)$/.exec(hash);
  return found && { session: found[1], token: decodeURIComponent(found[2]) };
}

/** Opens the Share dialog for what `link()` returns. */
export function prepareShare(link) {
  $("show-share").onclick = () => {
    $("share-link").value = link();
    $("share-code").replaceChildren(draw(encode(link())));
    $("share-hint").hidden = !/^(localhost|127\.|\[::1\])/.test(location.hostname);
    $("share").showModal();
    $("share-link").select();
  };
  $("share-copy").onclick = async () => {
    await navigator.clipboard.writeText($("share-link").value);
    $("share-copy").textContent = "Copied";
    setTimeout(() => ($("share-copy").textContent = "Copy the link"), 2_000);
  };
}

function draw(rows) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const size = rows.length + 2 * QUIET_MODULES;
  svg.setAttribute("viewBox", `${-QUIET_MODULES} ${-QUIET_MODULES} ${size} ${size}`);
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  const squares = rows.flatMap((row, y) => row.map((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : "")));
  path.setAttribute("d", squares.join(""));
  svg.append(path);
  return svg;
}
