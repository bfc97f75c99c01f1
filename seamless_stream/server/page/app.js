/**
 * The page: buttons and gauges, and which captions are shown where. Everything that it does is done by the other modules.
 */

import { linkOf, listenerOf, prepareSave, prepareShare } from "./dialogs.js";
import { clock } from "./export.js";
import { CaptionListener, TranslationClient } from "./client.js";
import { Run, SEGMENTS } from "./run.js";
import { Settings } from "./settings.js";
import { Transcript } from "./transcript.js";
import { CaptionList, announce, nameOf } from "./view.js";

const $ = (id) => document.getElementById(id);
const PHONE = matchMedia("(max-width: 52rem)");
const GAUGE_MS = 100;
const QUIET_DB = -60;
const MAX_LAG_MS = 10_000;
const HIGH_LAG_MS = 4_000;
const PROBE_AGAIN_MS = 5_000;
const STATES = {
  idle: "Ready",
  asking: "Waiting for the sound…",
  connecting: "Connecting…",
  open: "Live",
  reconnecting: "Connection lost, trying again…",
  closing: "Finishing…",
  failed: "Stopped",
};
const ADVICE = {
  too_many_sessions: "The server is full at the moment: it has as many sessions as it allows. Try again in a minute.",
  server_full: "The server is full at the moment: the model has no time for another session. Try again in a minute.",
  draining: "The server is about to stop or to restart. Try again in a minute.",
  invalid_api_key: "This server needs a key. Enter it under “Access”, then start again.",
  unreachable: "The server cannot be reached. Is it running, and are you online?",
  unknown_session: "The session is over, or the link is wrong.",
  too_many_listeners: "As many people read along as the server allows. Try again later.",
  origin_not_allowed: "The server does not let pages of this address connect (server.allowed_origins).",
};

const url = new URL("/v1/realtime/translations", location.href.replace("http", "ws")).href;
const transcript = new Transcript();
const settings = new Settings();
let lists = [];
let run = null;
let session = null; // the one whose captions can be shared
let before; // the time of earlier runs
let wake = null; // keeps the screen on
const level = { rms: 0, timer: 0 };

// What is shown.

function showState(state, text = STATES[state]) {
  $("status").dataset.state = state;
  $("status-text").textContent = text;
}

function complain(error) {
  $("notice-text").textContent = ADVICE[error.code] ?? error.message;
  $("notice").hidden = false;
}

function hush() {
  $("notice").hidden = true;
}

/** Lists for the present mode, filled with what was said so far. */
function layOut({ isTwoWay, findsTurns, from, to }) {
  $("monologue").hidden = isTwoWay === true;
  $("dialogue").hidden = !isTwoWay;
  if (isTwoWay) {
    lists = [["half-a", from], ["half-b", to]].map(([id, own]) => {
      const half = $(id);
      half.querySelector("h2").textContent = nameOf(own);
      const button = half.querySelector(".speak");
      button.textContent = `I speak ${nameOf(own)}`;
      button.onclick = () => declare(button, own);
      button.hidden = findsTurns;
      button.disabled = false;
      button.setAttribute("aria-pressed", String(own === from));
      half.dataset.language = own;
      return new CaptionList(half.querySelector("ol"), own);
    });
  } else {
    lists = [new CaptionList($("captions"))];
    lists[0].onfollow = (follows) => ($("newest").hidden = follows);
  }
  for (const list of lists) list.clear();
  for (const segment of transcript.segments) show(segment);
}

function show(segment) {
  for (const list of lists) list.update(segment);
  $("welcome").hidden = true;
  $("show-save").disabled = false;
}

function caption(type, detail) {
  if (type === "transcript.snapshot") {
    transcript.applySnapshot(detail).forEach(show);
    return;
  }
  const segment = transcript.apply({ ...detail, type });
  if (segment === null) return;
  show(segment);
  if (type === "segment.final" && detail.role !== "source" && detail.text) {
    announce($("announcer"), segment.captions.get(detail.language));
  }
}

// Gauges.

/** Ten times a second is smooth enough, and leaves the machine to the captions. */
function hear(rms) {
  level.rms = Math.max(level.rms, rms);
  if (level.timer) return;
  level.timer = setTimeout(() => {
    showLevel();
    level.rms = level.timer = 0;
  }, GAUGE_MS);
}

function showLevel() {
  const db = Math.max(QUIET_DB, 20 * Math.log10(level.rms || 1e-9));
  const gauge = $("level");
  gauge.style.setProperty("--part", (1 - db / QUIET_DB).toFixed(3));
  gauge.setAttribute("aria-valuenow", Math.round(db));
  gauge.setAttribute("aria-valuetext", db <= QUIET_DB ? "silent" : `${Math.round(db)} decibels`);
  $("times").textContent = clock(run?.client?.sentMs ?? 0);
}

function showLag({ behindMs, captionMs, speechMs, waitingS, factor }) {
  if (behindMs === null) return;
  const gauge = $("lag");
  gauge.style.setProperty("--part", Math.min(1, behindMs / MAX_LAG_MS).toFixed(3));
  gauge.toggleAttribute("data-high", behindMs > HIGH_LAG_MS);
  gauge.setAttribute("aria-valuenow", (behindMs / 1000).toFixed(1));
  const seconds = (ms) => `${(ms / 1000).toFixed(1)} s`;
  gauge.setAttribute("aria-valuetext", `${seconds(behindMs)} behind`);
  $("lag-text").textContent = seconds(behindMs);
  const more = [`The model is ${seconds(behindMs)} behind what was said.`];
  if (captionMs !== null) more.push(`The last caption was finished ${seconds(captionMs)} after its sentence.`);
  if (speechMs !== null) more.push(`It was spoken ${seconds(speechMs)} after the sentence began.`);
  if (waitingS > 1) more.push(`${waitingS.toFixed(0)} s of speech wait.`);
  if (factor) more.push(`A second of sound takes the model ${factor.toFixed(2)} s.`);
  gauge.parentElement.title = more.join("\n");
}

// From Start to the end.

async function start() {
  hush();
  const choice = settings.read();
  if (choice.kind === "file" && choice.file === null) {
    complain({ message: "Choose a recording first." });
    $("file").focus();
    return;
  }
  run = new Run({ ...choice, url }, before);
  listenTo(run);
  showState("asking");
  $("start").textContent = "Stop";
  $("start").dataset.running = "";
  settings.lock(true);
  if (PHONE.matches) $("setup").open = false;
  layOut(choice);
  try {
    await run.start();
    settings.listMicrophones(); // now with names
    $("pause").hidden = run.media === null;
    wake = await navigator.wakeLock?.request("screen").catch(() => null);
  } catch {
    // `end` has told it
  }
}

// Of the others the gauge tells enough, or there is nothing that somebody in front of the page could do.
const WARNINGS = {
  audio_dropped: ({ start_ms, end_ms }) => `The server is too busy and left out ${((end_ms - start_ms) / 1000).toFixed(1)} s.`,
  audio_stalled: () => "The server hears nothing of this page any more.",
  falling_behind: ({ level }) => (level ? "The server is too busy to keep up." : "The server keeps up again."),
  clipping: () => "The microphone is too loud: turn it down, or speak from further away.",
  echo_suspected: () => "The microphone hears the translation: use headphones, or tick “I use loudspeakers”.",
  no_speech: ({ level_dbfs }) => (level_dbfs <= DEAD_DBFS ? "No sound comes in: is the microphone muted?" : "Nobody was heard for half a minute: is it the right microphone?"),
};
const DEAD_DBFS = -90; // below the noise of any open microphone

function listenTo(current) {
  const on = (type, listener) => current.addEventListener(type, ({ detail }) => listener(detail));
  for (const type of SEGMENTS) on(type, (detail) => caption(type, detail));
  on("state", ({ state }) => state !== "closed" && showState(state));
  on("session.created", () => share(current.client.session));
  on("session.updated", () => share(current.client.session));
  on("lost", ({ duration_ms }) => complain({ message: `${(duration_ms / 1000).toFixed(1)} s could not be kept while the connection was away.` }));
  on("warning", ({ code, detail }) => {
    const message = WARNINGS[code]?.(detail);
    if (message && !current.media?.paused) complain({ message });
  });
  on("segment.direction", ({ source_language }) => mark(source_language));
  on("level", ({ rms }) => hear(rms));
  on("lag", showLag);
  on("speak", ({ key }) => lists.forEach((list) => list.speak(key)));
  on("end", ({ error }) => end(current, error));
}

function end(current, error) {
  if (current !== run) return;
  before = current.after;
  run = null;
  wake?.release();
  wake = null;
  $("start").textContent = "Start";
  $("start").disabled = false;
  delete $("start").dataset.running;
  $("pause").hidden = true;
  $("pause").textContent = "Pause";
  $("show-share").disabled = true;
  for (const button of document.querySelectorAll(".speak")) button.disabled = true;
  hear(0);
  settings.lock(false);
  showState(error ? "failed" : "idle");
  if (!error) return;
  complain(error);
  if (error.code === "invalid_api_key") settings.askKey();
}

function stop() {
  if (run.client?.state === "open") run.stop();
  else run.abort();
}

function share(described) {
  session = described;
  $("show-share").disabled = linkOf(session) === null;
}

// A conversation.

/** Somebody says that it is their turn now. */
async function declare(button, language) {
  for (const other of document.querySelectorAll(".speak")) other.setAttribute("aria-pressed", String(other === button));
  try {
    await run?.client?.update({ translation: { source_language: language } });
  } catch (error) {
    complain(error);
  }
}

/** Shows who was heard last. */
function mark(language) {
  for (const half of document.querySelectorAll(".half")) half.toggleAttribute("data-heard", half.dataset.language === language);
}

// The projector.

async function project(isOn) {
  document.body.classList.toggle("projector", isOn);
  $("leave-projector").hidden = !isOn;
  if (isOn) {
    $("leave-projector").focus();
    await document.documentElement.requestFullscreen?.().catch(() => {});
  } else {
    if (document.fullscreenElement) await document.exitFullscreen();
    $("show-projector").focus();
  }
  for (const list of lists) list.follow();
}

let zoom = 1;

function onKey(event) {
  if (!document.body.classList.contains("projector")) return;
  if (event.key === "Escape") project(false);
  const step = { "+": 1.1, "-": 1 / 1.1 }[event.key];
  if (step === undefined) return;
  zoom = Math.min(2, Math.max(0.5, zoom * step));
  document.body.style.setProperty("--zoom", zoom.toFixed(2));
}

// The beginning.

/** Asks the server what it can do; until it answers nothing can be chosen. */
async function probe() {
  const client = new TranslationClient({ url, key: settings.key });
  try {
    settings.fill(await client.connect());
    client.abort();
    hush();
    if (run === null) showState("idle");
  } catch (error) {
    complain(error);
    if (error.code === "invalid_api_key") settings.askKey();
    else setTimeout(probe, PROBE_AGAIN_MS);
  }
}

function listen({ session: id, token }) {
  document.body.classList.add("listener");
  $("welcome").querySelector(".large").textContent = "Reading along";
  $("welcome").querySelector("p:last-child").textContent = "Captions appear here as soon as somebody speaks.";
  showState("connecting");
  layOut({});
  const listener = new CaptionListener(new URL(`${url.replace("ws", "http")}/${id}/captions?token=${encodeURIComponent(token)}`));
  for (const type of SEGMENTS) {
    listener.addEventListener(type, ({ detail }) => {
      if (type === "transcript.snapshot") {
        transcript.clear();
        lists[0].clear();
        showState("open", "Reading along");
      }
      caption(type, detail);
    });
  }
  const end = (state, text) => {
    showState(state, text);
    $("welcome").querySelector("p:last-child").textContent = "No captions will come any more.";
  };
  listener.addEventListener("session.closed", () => end("idle", "The session is over"));
  listener.addEventListener("state", ({ detail: { state, error } }) => {
    if (state === "reconnecting") showState(state);
    if (state !== "closed") return;
    end("failed");
    complain(error);
  });
}

$("start").onclick = () => (run === null ? start() : stop());
$("newest").onclick = () => lists[0].follow();
$("notice-close").onclick = hush;
$("show-projector").onclick = () => project(true);
$("leave-projector").onclick = () => project(false);
$("turn").onclick = () => {
  const isOn = document.body.classList.toggle("turned");
  $("turn").setAttribute("aria-pressed", String(isOn));
};
$("pause").onclick = () => {
  const { media } = run;
  if (media.paused) media.play();
  else media.pause();
  $("pause").textContent = media.paused ? "Play" : "Pause";
};
document.onkeydown = onKey;
document.onfullscreenchange = () => !document.fullscreenElement && document.body.classList.contains("projector") && project(false);
$("key").onchange = probe;
settings.onchange = () => run?.adjust(settings.sound);
PHONE.onchange = () => ($("setup").open = true);
$("clear").onclick = () => {
  transcript.clear();
  for (const list of lists) list.clear();
  $("show-save").disabled = true;
  $("save").close();
};
prepareSave(() => transcript.segments);
prepareShare(() => linkOf(session));

const listener = listenerOf(location.hash);
if (listener) {
  listen(listener);
} else {
  layOut({});
  probe();
}
