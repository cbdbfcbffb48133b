// Microphone, tab and system audio as blocks of 100 ms. The same file is the worklet that makes the blocks.

const RATE_HZ = 16000; // the browser resamples to what costs the server least
const BLOCK_S = 0.1;
const FLUSH_MS = 500;
const CONSTRAINTS = ["echoCancellation", "noiseSuppression", "autoGainControl"]; // made for ears, not for ASR

if (typeof registerProcessor === "function") {
  registerProcessor("tap", class extends AudioWorkletProcessor {
    constructor() {
      super();
      this.held = new Float32Array(Math.round(BLOCK_S * sampleRate));
      this.count = 0;
      this.port.onmessage = () => { // the rest, and that it was the rest
        this.port.postMessage(this.held.slice(0, this.count));
        this.port.postMessage(null);
        this.count = 0;
      };
    }
    process([[channel]]) {
      for (const sample of channel ?? []) {
        this.held[this.count++] = sample;
        if (this.count === this.held.length) {
          this.port.postMessage(this.held.slice());
          this.count = 0;
        }
      }
      return true;
    }
  });
}

export const canCapture = () => Boolean(globalThis.navigator?.mediaDevices);

export async function microphones() {
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((each) => each.kind === "audioinput" && each.deviceId);
}

// The media of "mic" or "system"; asks the user.
export async function openMedia(source, { deviceId = "", processing = false } = {}) {
  const wanted = Object.fromEntries(CONSTRAINTS.map((each) => [each, processing]));
  if (source === "mic") {
    if (deviceId) wanted.deviceId = { exact: deviceId };
    return navigator.mediaDevices.getUserMedia({ audio: { ...wanted, channelCount: 1 } });
  }
  const media = await navigator.mediaDevices.getDisplayMedia(
    { video: true, audio: wanted, systemAudio: "include" });
  for (const track of media.getVideoTracks()) track.stop();
  if (media.getAudioTracks().length) return media;
  throw new Error("what you chose to share has no sound: choose a tab, and tick \"also share audio\"");
}

export class Capture {
  // media: a MediaStream. onBlock(Float32Array), onEnd() when the device is gone, onMute(bool).
  static async open(media, handlers) {
    const self = new Capture();
    Object.assign(self, { media, ...handlers });
    const track = media.getAudioTracks()[0];
    track.onended = () => self.onEnd();
    track.onmute = () => self.onMute(true);
    track.onunmute = () => self.onMute(false);
    try {
      await self.attach(RATE_HZ);
    } catch (error) { // some browsers refuse another rate than the device's: the server resamples then
      if (error.name !== "NotSupportedError") throw error;
      await self.context?.close();
      await self.attach(undefined);
    }
    return self;
  }

  async attach(rate) {
    this.context = new AudioContext(rate ? { sampleRate: rate } : {});
    this.sampleRate = this.context.sampleRate;
    const source = this.context.createMediaStreamSource(this.media);
    await this.context.audioWorklet.addModule("/page/capture.js");
    this.tap = new AudioWorkletNode(this.context, "tap",
      { channelCount: 1, channelCountMode: "explicit", numberOfOutputs: 0 });
    this.tap.port.onmessage = ({ data }) => (data ? data.length && this.onBlock(data) : this.flushed?.());
    source.connect(this.tap);
    this.wake = () => this.context.resume().catch(() => null);
    this.wake(); // where a page may not make a sound of its own accord, the next click lets audio run
    addEventListener("pointerdown", this.wake);
  }

  get isAsleep() { return this.context.state === "suspended"; }

  // Give the last block, then let go of the device.
  async stop() {
    const flushed = new Promise((resolve) => { this.flushed = resolve; });
    this.tap.port.postMessage(0);
    await Promise.race([flushed, new Promise((resolve) => setTimeout(resolve, FLUSH_MS))]);
    for (const track of this.media.getTracks()) {
      track.onended = track.onmute = track.onunmute = null;
      track.stop();
    }
    removeEventListener("pointerdown", this.wake);
    await this.context.close();
  }
}

// Root mean square in dB of full scale, as a share of the 60 dB that a meter shows.
export function loudness(block) {
  let sum = 0;
  for (const sample of block) sum += sample * sample;
  const db = 10 * Math.log10(sum / block.length + 1e-9);
  return Math.max(0, Math.min(1, 1 + db / 60));
}
