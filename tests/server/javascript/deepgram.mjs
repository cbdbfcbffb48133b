// A WAV file of 16 kHz on standard input, sent live and as a recording with @deepgram/sdk to the host that is the last
// argument; what came of it as JSON. Node ends when nothing is left to do: a client that took the end of the live
// connection for a fault would connect again for minutes.
import { readFileSync } from "node:fs";
import { DeepgramClient } from "@deepgram/sdk";

const host = process.argv.at(-1);
const environment = {
  base: `http://${host}`,
  production: `ws://${host}`,
  agent: `ws://${host}`,
  agentRest: `http://${host}`,
};
const client = new DeepgramClient({ apiKey: "any", environment });
const file = readFileSync(0);

const live = await client.listen.v1.connect({
  model: "nova-3",
  encoding: "linear16",
  sample_rate: "16000",
  interim_results: "true",
});
const finals = [];
const codes = [];
let last = "";
live.on("message", (message) => {
  last = message.type;
  if (message.type === "Results" && message.is_final) {
    finals.push(message.channel.alternatives[0].transcript);
  }
});
const closed = new Promise((resolve) => {
  live.on("close", (event) => {
    codes.push(event.code);
    resolve();
  });
});
live.connect();
await live.waitForOpen();
const audio = file.subarray(44);
for (let at = 0; at < audio.length; at += 3200) {
  live.sendMedia(audio.subarray(at, at + 3200));
}
live.sendCloseStream({ type: "CloseStream" });
await closed;

const answer = await client.listen.v1.media.transcribeFile(file, { model: "nova-3" });
const text = answer.results.channels[0].alternatives[0].transcript;
process.on("beforeExit", () => console.log(JSON.stringify({ finals, codes, last, file: text })));
