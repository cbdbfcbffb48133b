// A WAV file of 24 kHz on standard input, sent with the AI SDK to the base URL that is the last argument: as a file,
// and as a stream; what came of it as JSON.
import { readFileSync } from "node:fs";
import { createOpenAI } from "@ai-sdk/openai";
import { experimental_streamTranscribe as streamTranscribe, transcribe } from "ai";

const openai = createOpenAI({ apiKey: "any", baseURL: process.argv.at(-1) });
const wav = readFileSync(0);

const whole = await transcribe({
  model: openai.transcription("whisper-1"),
  audio: wav,
  maxRetries: 0,
  providerOptions: { openai: { language: "en", timestampGranularities: ["word", "segment"] } },
});
const { text, segments, words, language, durationInSeconds } = whole;

const audio = new ReadableStream({
  start(controller) {
    for (let at = 44; at < wav.length; at += 4800) controller.enqueue(wav.subarray(at, at + 4800));
    controller.close();
  },
});
const streamed = streamTranscribe({
  model: openai.transcription("gpt-realtime-whisper"),
  audio,
  inputAudioFormat: { type: "audio/pcm", rate: 24000 },
});
let deltas = "";
for await (const part of streamed.fullStream) {
  if (part.type === "transcript-delta") deltas += part.delta;
}
const live = { text: await streamed.text, deltas };
console.log(JSON.stringify({ text, segments, words, language, durationInSeconds, live }));
