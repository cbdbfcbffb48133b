// What the page asks of its server besides sessions: the key, capabilities, why there is no room, readings.

import { byId, clock, element, notice, options, seconds } from "./view.js";

export const RUNGS = ["normal", "fewer partials", "smaller model", "finals only", "fallback model"];
const KEY = "asrctl.key";
const PROBE_MS = 5000;
const FULL_RETRY_MS = 3000;

export const key = () => sessionStorage.getItem(KEY) ?? "";
export const keepKey = (given) => sessionStorage.setItem(KEY, given);

export function request(path, init = {}) {
  const headers = key() ? { Authorization: `Bearer ${key()}` } : {};
  return fetch(path, { ...init, headers });
}

// Why a socket was refused, which the browser does not tell.
export async function probe() {
  try {
    const within = { signal: AbortSignal.timeout(PROBE_MS) };
    const ready = await request("/ready", within);
    if (ready.status === 503) {
      const text = await ready.text();
      const retryMs = 1000 * (Number(ready.headers.get("Retry-After")) || 1);
      try { return { busy: JSON.parse(text).reason, retryMs }; } catch { return { busy: text.trim(), retryMs }; }
    }
    const answer = await request("/capabilities", within);
    if (answer.status === 401) return { key: true };
    if (answer.status === 403) return { failed: (await answer.text()).trim() };
    const { limits } = await answer.json();
    if (limits.sessions_now < limits.session_limit) return {};
    return { busy: `all ${limits.session_limit} sessions are in use`, retryMs: FULL_RETRY_MS };
  } catch { // nobody answers
    return {};
  }
}

export async function loadCapabilities() {
  let answer;
  try {
    answer = await request("/capabilities");
  } catch {
    return notice("The server does not answer.");
  }
  if (answer.status === 401) return askKey();
  if (!answer.ok) return notice((await answer.text()).trim());
  const { models, languages, speakers } = await answer.json();
  byId("speakers-label").hidden = !speakers;
  const shown = models.streaming ?? models.main;
  options(byId("model"), [[shown.name, `${shown.name} (${shown.provider})`]]);
  const names = new Intl.DisplayNames(["en"], { type: "language", fallback: "code" });
  const known = languages.map((code) => [code, names.of(code)]).sort((a, b) => a[1].localeCompare(b[1]));
  options(byId("language"), [["auto", "Detect"], ...known]);
}

export function askKey() {
  if (!byId("key-dialog").open) byId("key-dialog").showModal();
}

// The operator's panel

// Prometheus' text as {name: [{labels, value}]}.
function parseMetrics(text) {
  const found = {};
  for (const line of text.split("\n")) {
    const match = /^(\w+)(?:\{(.*)\})? (\S+)/.exec(line);
    if (match) (found[match[1]] ??= []).push({ labels: match[2] ?? "", value: Number(match[3]) });
  }
  return found;
}

function showReadings(metrics) {
  const sum = (name, label = "") => (metrics[name] ?? [])
    .filter((each) => each.labels.includes(label)).reduce((total, each) => total + each.value, 0);
  const received = sum("asrctl_audio_received_seconds_total");
  const rows = {
    "Decodes speech": sum("asrctl_ready") ? "yes" : "no",
    "Sessions": `${sum("asrctl_sessions", "attached")} of ${sum("asrctl_session_limit")}`,
    "Waiting for a client": sum("asrctl_sessions", "detached"),
    "Queue": `${sum("asrctl_queue_depth", "final")} finals, ${sum("asrctl_queue_depth", "partial")} partials`,
    "Longest wait": seconds(sum("asrctl_queue_delay_seconds")),
    "Furthest behind": seconds(sum("asrctl_lag_seconds")),
    "Rung": RUNGS[sum("asrctl_level")] ?? sum("asrctl_level"),
    "Load": `${Math.round(100 * sum("asrctl_rtf"))} %`,
    "Memory": `${Math.round(sum("asrctl_memory_bytes") / 2 ** 20)} MiB`,
    "Audio received": received < 3600 ? seconds(received) : clock(received),
    "Audio dropped": seconds(sum("asrctl_audio_seconds_total", "dropped")),
    "Refused": sum("asrctl_rejected_total"),
    "Workers replaced": sum("asrctl_worker_restarts_total"),
  };
  byId("readings").replaceChildren(...Object.entries(rows).map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, String(value)))));
}

export async function refreshPanel() {
  if (!byId("server").open || document.hidden) return;
  const answer = await request("/metrics").catch(() => null);
  if (answer?.status === 401) askKey();
  if (answer?.ok) showReadings(parseMetrics(await answer.text()));
}
