// Files that are dropped or chosen: sent whole, their text comes as it is made.

import { key, request } from "./server.js";
import { byId, clock, notice } from "./view.js";

let queue = Promise.resolve();

export async function offerFiles() {
  const answer = await request("/v1/audio/transcriptions").catch(() => null);
  byId("files").hidden = !answer || answer.status === 404;
}

// One after the other; trackOf(name, "file", "progress") makes a column.
export function addFiles(list, trackOf) {
  for (const file of list) queue = queue.then(() => transcribe(file, trackOf(file.name, "file", "progress")));
}

async function transcribe(file, track) {
  track.clear();
  byId("what").value = file.name;
  let text = "";
  const add = (start_s, end_s, said, speaker) => track.final({ start_s, end_s, text: said.trim(), speaker });
  try {
    const wishes = { language: byId("language").value, model: byId("model").value, speakers: byId("speakers").checked };
    await transcribeFile(file, wishes, {
      upload: (share) => track.view.level(share),
      delta: (more) => { text += more; if (!track.segments.length) track.view.partial(text.trim(), ""); },
      segment: ({ start, end, text: said, speaker }) => {
        if (!track.segments.length) track.view.partial("", "");
        add(start, end, said, speaker && `Speaker ${speaker}`);
        track.view.account.textContent = `transcribed up to ${clock(end)}`;
      },
      done: (whole) => {
        track.isTimed = track.segments.length > 0;
        if (!track.isTimed) add(0, 0, whole);
      },
    });
    track.view.account.textContent = "done";
  } catch (error) {
    notice(`${file.name}: ${error.message}`);
    track.view.account.textContent = "failed";
  }
  track.view.partial("", "");
}

// POST /v1/audio/transcriptions with stream=true. on: {upload(share), delta(text), segment({start, end, text,
// speaker}), done(text)}; resolves when all is said. XMLHttpRequest, since fetch tells nothing of an upload's progress.
function transcribeFile(file, { language, model, speakers }, on) {
  const form = new FormData();
  form.append("file", file);
  form.append("stream", "true");
  form.append("model", model || "whisper-1");
  form.append("response_format", speakers ? "diarized_json" : "verbose_json"); // segments with times
  form.append("timestamp_granularities[]", "segment");
  if (language !== "auto") form.append("language", language);
  const upload = new XMLHttpRequest();
  upload.open("POST", "/v1/audio/transcriptions");
  if (key()) upload.setRequestHeader("Authorization", `Bearer ${key()}`);
  let taken = 0;
  const promise = new Promise((resolve, reject) => {
    const take = (atEnd) => { // whole lines only: the last may still grow
      const end = atEnd ? upload.responseText.length : upload.responseText.lastIndexOf("\n") + 1;
      const lines = upload.responseText.slice(taken, end).split("\n");
      taken = Math.max(taken, end);
      try { for (const line of lines) event(line, on); } catch (error) { reject(error); }
    };
    upload.upload.onprogress = ({ loaded, total }) => on.upload(loaded / total);
    upload.onprogress = () => upload.status === 200 && take(false);
    upload.onerror = () => reject(new Error("the connection was lost"));
    upload.onload = () => {
      if (upload.status !== 200) return reject(new Error(problem(upload)));
      take(true);
      resolve();
    };
  });
  upload.send(form);
  return promise;
}

function event(line, on) {
  if (!line.startsWith("data:")) return;
  const data = line.slice(5).trim();
  if (!data || data === "[DONE]") return;
  const message = JSON.parse(data);
  if (message.error) throw new Error(message.error.message ?? String(message.error));
  if (message.type === "transcript.text.delta") on.delta(message.delta);
  else if (message.type === "transcript.text.segment") on.segment(message);
  else if (message.type === "transcript.text.done") on.done(message.text);
}

function problem(request) {
  try { return JSON.parse(request.responseText).error.message; } catch { return `the server answers ${request.status}`; }
}
