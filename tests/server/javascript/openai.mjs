// A WAV file of 24 kHz on standard input, sent with openai-js to the base URL that is the last argument: as a file,
// with its events, and live, by turns and by commits; what came of it as JSON.
import { readFileSync } from "node:fs";
import OpenAI, { toFile } from "openai";
import { OpenAIRealtimeWS } from "openai/realtime/ws";

const client = new OpenAI({ apiKey: "any", baseURL: process.argv.at(-1), maxRetries: 0 });
const wav = readFileSync(0);
const said = {};

const file = () => toFile(wav, "speech.wav");
const transcribe = async (options) =>
  client.audio.transcriptions.create({ file: await file(), model: "whisper-1", ...options });
said.json = await transcribe({ language: "en" });
said.verbose = await transcribe({
  response_format: "verbose_json",
  timestamp_granularities: ["word", "segment"],
});
said.srt = await transcribe({ response_format: "srt" });
said.models = [];
for await (const model of client.models.list()) said.models.push(model.id);
try {
  await transcribe({ model: "large-v3" });
} catch (error) {
  said.error = { isNotFound: error instanceof OpenAI.NotFoundError, code: error.code, param: error.param };
}

said.events = [];
for await (const event of await transcribe({ model: "gpt-4o-mini-transcribe", stream: true })) {
  said.events.push(event);
}

const pcm = wav.subarray(44);
const kinds = "conversation.item.input_audio_transcription";
async function live(connection, session, isLast) {
  const heard = { deltas: "", transcript: "", types: [] };
  const realtime = new OpenAIRealtimeWS(connection, client);
  const done = new Promise((resolve, reject) => {
    realtime.on("error", reject);
    realtime.on("event", (event) => heard.types.push(event.type));
    realtime.on(`${kinds}.delta`, (event) => (heard.deltas += event.delta));
    realtime.on(`${kinds}.completed`, (event) => {
      heard.transcript = event.transcript;
      resolve();
    });
  });
  await new Promise((resolve) => realtime.socket.on("open", resolve));
  realtime.send({ type: "session.update", session: { type: "transcription", ...session } });
  for (let at = 0; at < pcm.length; at += 4801) { // not whole samples
    const audio = pcm.subarray(at, at + 4801).toString("base64");
    realtime.send({ type: "input_audio_buffer.append", audio });
  }
  if (isLast) realtime.send({ type: "input_audio_buffer.commit" });
  await done;
  realtime.close();
  return heard;
}
said.turns = await live({ intent: "transcription" }, {}, false);
const input = { transcription: { model: "gpt-realtime-whisper" }, turn_detection: null };
said.commits = await live({ model: "gpt-realtime-whisper" }, { audio: { input } }, true);
console.log(JSON.stringify(said));
