// Puts the parts together: controls, tracks, files, keys.

import { Capture, canCapture, loudness, microphones, openMedia } from "./capture.js";
import { addFiles, offerFiles } from "./files.js";
import { copyText, saveFile } from "./save.js";
import { askKey, keepKey, key, loadCapabilities, probe, refreshPanel, request, RUNGS } from "./server.js";
import { AsrctlStream } from "./stream.js";
import { pieces, turns } from "./turns.js";
import { byId, notice, options, seconds, TrackView } from "./view.js";

const NAMES = { mic: "Microphone", system: "System audio" };
const PANEL_MS = 2000;
const TICK_MS = 250;
const LIVE = "live";

const tracks = new Map(); // "mic", "system" and files by name -> Track
let running = []; // tracks with a session
let firstStartMs = null;
let phase = "idle"; // starting, recording, finishing
let wakeLock = null;

// Tracks

class Track {
  constructor(source, view) {
    this.source = source;
    this.view = view;
    this.segments = [];
    this.said = new Map(); // utterance of the session -> its segment
    this.sessions = 0;
    this.account = null;
    this.offsetS = 0;
    this.isTimed = true; // whether it can become subtitles
  }

  async start(media) {
    this.capture = await Capture.open(media, {
      onBlock: (block) => { this.stream?.feed(block); this.view.level(loudness(block)); },
      onEnd: () => { notice(`${this.view.name}: the device or the shared tab is gone.`); stop(); },
      onMute: (muted) => notice(muted ? `${this.view.name} is muted by the system.` : ""),
    });
    const nowMs = Date.now();
    firstStartMs ??= nowMs;
    this.offsetS = (nowMs - firstStartMs) / 1000;
    const language = byId("language").value;
    this.language = language === "auto" ? "" : language;
    const model = byId("model").value;
    const wishes = { source: this.source, language, metrics: true, ...(model ? { model } : {}),
      ...(byId("speakers").checked ? { speakers: true, words: true } : {}) };
    const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/stream`;
    this.stream = new AsrctlStream({ url, sampleRate: this.capture.sampleRate, start: wishes, key: key(), probe,
      on: (event) => this.take(event) });
  }

  take(event) {
    switch (event.type) {
      case "state": this.entered(event); break;
      case "ready": this.ready(event); break;
      case "partial": this.view.partial(event.stable, event.unstable); break;
      case "final": this.view.partial("", ""); this.final(event); break;
      case "speaker": this.correct(event); break;
      case "speakers_lost": notice(`${this.view.name}: speakers are not told apart any more: ${event.reason}`); break;
      case "gap": this.gap(event); break;
      case "status": showRung(event.level, event.reason); break;
      case "goaway": notice("The server is about to end; what you say is kept for the next one."); break;
    }
  }

  ready({ session_id, level, model, provider }) {
    showRung(level, "");
    Object.assign(this, { model, provider });
    if (session_id === this.sessionId) return;
    this.sessionId = session_id;
    this.sessions++;
    this.said.clear();
  }

  entered(event) {
    this.retryAtMs = event.atMs;
    this.reason = event.reason;
    if (event.state === LIVE) notice("");
    if (event.state === "key") askKey();
    if (event.state === "ended") {
      this.account = total(this.account, event.account);
      this.view.said(this.account);
    }
    if (event.state === "failed") notice(`${this.view.name}: ${event.message}`);
    if (this.stream?.over || event.state === "failed") {
      this.view.partial("", "");
      stop();
    }
    showState();
  }

  final({ utterance, start_s, end_s, text, confidence, speaker, words = [] }) {
    if (!text) return;
    const said = pieces({ start_s: start_s + this.offsetS, end_s: end_s + this.offsetS, text }, words, this.offsetS);
    const segment = { confidence, words: said, show: this.view.final(said, this.language) };
    this.segments.push(segment);
    this.said.set(utterance, segment);
    this.correct({ utterance, speaker, words: words.map((each) => each.speaker) });
  }

  correct({ utterance, speaker, words = [] }) {
    const said = this.said.get(utterance);
    if (!said) return; // its text was empty, or cleared
    const names = words.length === said.words.length ? words : [];
    said.words.forEach((word, at) => { word.speaker = this.label(names[at] || speaker); });
    said.show();
  }

  // Each session numbers its speakers from 1: those of a later one may be others.
  label(speaker) { return speaker && this.sessions > 1 ? `${speaker} (${this.sessions})` : speaker ?? ""; }

  clear() {
    this.segments = [];
    this.said.clear();
    this.view.clear();
  }

  gap({ start_s, end_s, reason }) {
    this.view.gap(start_s + this.offsetS, end_s + this.offsetS, reason);
  }
}

// Of all sessions of a track.
function total(before, account) {
  const keys = ["received_s", "speech_s", "silence_s", "dropped_s"];
  return Object.fromEntries(keys.map((each) => [each, (before?.[each] ?? 0) + account[each]]));
}

function trackOf(name, source, bar) {
  if (!tracks.has(name)) {
    tracks.set(name, new Track(source, new TrackView(name, bar)));
    const files = [...tracks.values()].filter((each) => each.source === "file");
    options(byId("what"), [["", "Live text"], ...files.map(({ view }) => [view.name, view.name])]);
    byId("what-label").hidden = !files.length;
  }
  return tracks.get(name);
}

// Start and stop

async function start() {
  if (phase !== "idle") return;
  if (!canCapture()) {
    return notice("Browsers let a page listen on this machine's own address or over https only: "
      + "open it as http://127.0.0.1, or start the server with --tls-cert.");
  }
  enter("starting");
  notice("");
  const chosen = byId("source").value;
  const opened = [];
  try {
    // The tab first: the browser asks for it only just after a click.
    for (const source of chosen === "both" ? ["system", "mic"] : [chosen]) {
      const wishes = { deviceId: byId("device").value, processing: byId("processing").checked };
      opened.push([source, await openMedia(source, wishes)]);
    }
    running = opened.map(([source]) => trackOf(NAMES[source], source));
    await Promise.all(opened.map(([, media], index) => running[index].start(media)));
  } catch (error) {
    for (const [, media] of opened) for (const each of media.getTracks()) each.stop();
    for (const track of running) track.stream?.give_up();
    running = [];
    enter("idle");
    return notice(refusal(error));
  }
  enter("recording");
  await listDevices();
  if (running.some((each) => each.capture.isAsleep)) notice("Click anywhere to let the browser listen.");
  wakeLock = await navigator.wakeLock?.request("screen").catch(() => null);
}

function refusal(error) {
  if (error.name === "NotAllowedError") return "The browser was not allowed to listen.";
  if (error.name === "NotFoundError") return "There is no microphone.";
  return error.message;
}

async function stop() {
  if (phase !== "recording") return;
  enter("finishing");
  await Promise.all(running.map(async (track) => {
    await track.capture.stop();
    track.view.level(0);
    await track.stream.finish();
    track.view.partial("", "");
  }));
  await wakeLock?.release().catch(() => null);
  enter("idle");
}

function enter(next) {
  phase = next;
  const button = byId("start");
  button.textContent = phase === "recording" ? "Stop" : phase === "finishing" ? "Finishing…" : "Start";
  button.setAttribute("aria-disabled", String(phase === "starting" || phase === "finishing"));
  for (const id of ["source", "device", "language", "model", "processing", "speakers"]) byId(id).disabled = phase !== "idle";
  showState();
}

const toggle = () => (phase === "recording" ? stop() : start());

async function listDevices() {
  const found = await microphones();
  options(byId("device"), [["", "Default"], ...found.map((each, i) => [each.deviceId, each.label || `Device ${i + 1}`])]);
  byId("device-label").hidden = found.length < 2;
}

// States

const ORDER = ["failed", "key", "busy", "reconnecting", "connecting", "catching up", "stopped", LIVE, "ended"];

// The name of the worst state is announced; what changes each second stands beside it and is not.
function showState() {
  const sessions = running.filter((track) => track.stream);
  const worst = sessions.toSorted((a, b) => ORDER.indexOf(a.stream.state) - ORDER.indexOf(b.stream.state))[0];
  const state = worst?.stream.state ?? (phase === "starting" ? "connecting" : "ready");
  const name = state === "busy" ? `server busy: ${worst.reason}` : state === "key" ? "waiting for the API key" : state;
  if (byId("state-name").textContent !== name) byId("state-name").textContent = name;
  document.body.dataset.state = state;
  const details = [];
  if (worst && ["busy", "reconnecting", "key"].includes(state)) {
    const waitS = Math.ceil((worst.retryAtMs - Date.now()) / 1000);
    if (waitS > 0) details.push(`next try in ${waitS} s`);
    details.push(`${seconds(worst.stream.unansweredS)} of audio kept`);
  } else if (state === "catching up") {
    details.push(`${seconds((worst.stream.end - worst.stream.received) / worst.stream.rate)} behind`);
  }
  byId("state-detail").textContent = details.join(", ");
  byId("discard").hidden = phase !== "finishing" || !["busy", "reconnecting", "key", "connecting"].includes(state);
}

function showRung(level, reason) {
  byId("rung").hidden = !level;
  byId("rung").textContent = level ? `level ${level}: ${RUNGS[level] ?? ""}${reason ? `, because ${reason}` : ""}` : "";
}

// Copy and save

function transcript() {
  const name = byId("what").value;
  const chosen = name ? [tracks.get(name)] : [...tracks.values()].filter((each) => each.source !== "file");
  const spoken = chosen.filter((each) => each?.segments.length);
  const who = (each, speaker) => [spoken.length > 1 && each.view.name, speaker].filter(Boolean).join(", ");
  const segments = spoken.flatMap((each) => each.segments.flatMap(turns).map((one) => ({ ...one, speaker: who(each, one.speaker) })))
    .sort((a, b) => a.start_s - b.start_s);
  const first = spoken[0] ?? {};
  const audio = spoken.length === 1 ? first.account : null;
  return { source: name || spoken.map((each) => each.source).join("+"), model: first.model ?? "",
    provider: first.provider ?? "", language: first.language ?? "", audio, segments };
}

async function act(action, done) {
  try {
    if (!transcript().segments.length) return notice("There is no text yet.");
    await action();
    notice(done);
  } catch (error) {
    notice(error.message);
  }
}

const line = ({ speaker, text }) => (speaker ? `${speaker}: ${text}` : text);
const copy = () => act(() => copyText(transcript().segments.map(line).join("\n")), "Copied.");
const save = () => act(() => {
  const format = byId("format").value;
  const isTimed = tracks.get(byId("what").value)?.isTimed ?? true;
  if (!isTimed && ["srt", "vtt"].includes(format)) throw new Error("This text came without times: save it as text.");
  return saveFile(request, format, transcript());
}, "Saved.");

function clear() {
  for (const [name, track] of tracks) {
    if (running.includes(track) && phase !== "idle") {
      track.clear();
      continue;
    }
    track.view.root.remove();
    tracks.delete(name);
  }
  if (phase === "idle") { running = []; firstStartMs = null; showState(); }
  byId("what-label").hidden = true;
  byId("what").replaceChildren();
  notice("");
}

function captions(on = !document.body.classList.contains("captions")) {
  document.body.classList.toggle("captions", on);
  byId("captions").setAttribute("aria-pressed", String(on));
}

// Keys

const SHORTCUTS = {
  " ": toggle, c: copy, s: save, l: () => byId("language").focus(), f: () => captions(),
  "?": () => byId("help").showModal(),
};

function pressed(event) {
  if (event.key === "Escape" && document.body.classList.contains("captions")) return captions(false);
  const elsewhere = event.target.closest("input, select, textarea, dialog")
    || (event.key === " " && event.target.closest("button, summary"));
  const action = SHORTCUTS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!action || elsewhere || !byId("keys").checked || event.ctrlKey || event.altKey || event.metaKey) return;
  event.preventDefault();
  if (!event.repeat) action();
}

function wire() {
  const clicks = { start: toggle, copy, save, clear, captions: () => captions(), discard: () => running.forEach((each) => each.stream.give_up()),
    "help-open": () => byId("help").showModal(), "help-close": () => byId("help").close() };
  for (const [id, action] of Object.entries(clicks)) byId(id).addEventListener("click", () => action());
  addEventListener("keydown", pressed);
  addEventListener("online", () => running.forEach((each) => each.stream?.hurry()));
  addEventListener("beforeunload", (event) => {
    if (phase !== "idle" && running.some((each) => each.stream?.unansweredS > 0)) event.preventDefault();
  });
  document.addEventListener("dblclick", () => document.body.classList.contains("captions") && captions(false));
  byId("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    keepKey(byId("key").value.trim());
    byId("key").value = "";
    byId("key-dialog").close();
    for (const each of running) each.stream?.unlock(key());
    loadCapabilities().then(offerFiles);
  });
  byId("server").addEventListener("toggle", refreshPanel);
  byId("file").addEventListener("change", (event) => { addFiles(event.target.files, trackOf); event.target.value = ""; });
  for (const kind of ["dragover", "dragleave", "drop"]) {
    addEventListener(kind, (event) => {
      event.preventDefault(); // or the browser would leave the page for the file
      byId("drop").classList.toggle("over", kind === "dragover");
      if (kind === "drop" && !byId("files").hidden) addFiles(event.dataTransfer.files, trackOf);
    });
  }
  navigator.mediaDevices?.addEventListener("devicechange", listDevices);
  setInterval(refreshPanel, PANEL_MS);
  setInterval(showState, TICK_MS);
}

wire();
const wanted = new URLSearchParams(location.search);
captions(wanted.get("captions") === "1");
await loadCapabilities();
await offerFiles();
enter("idle");
document.body.dataset.loaded = "true";
if (wanted.has("autostart")) start();
