// A session of asrctl.v1 that outlives its sockets and its server; see PROTOCOL.md.
// It knows nothing of the page: `on(event)` is told what happens, `probe()` asks why a socket was refused.

export const MAX_KEPT_S = 600; // audio kept while there is no server; beyond, the oldest is let go, declared
const FIRST_WAIT_MS = 1000;
const MOST_WAIT_MS = 60000;
const GOOD_LINK_MS = 30000; // a link that was up for so long is forgiven its failures
const CATCHING_UP_S = 2.5; // audio that the server has not taken yet
const MAX_SKIP_S = 600;
const FATAL = [1003, 1007, 1009, 4001, 4400];
const GONE = [4401, 4409, 4410];
const UNSENT = "the page could not keep more audio while the server was away";

export class AsrctlStream {
  // start: the keys of `start` besides format and audio_offset. key: the API key, or "".
  constructor({ url, sampleRate, start, key, on, probe }) {
    Object.assign(this, { url, rate: sampleRate, start, key, on, probe });
    this.chunks = []; // {at, samples}: kept until committed
    this.end = 0; // position after the last sample
    this.next = 0; // position of the next sample to be sent
    this.committed = 0;
    this.received = 0;
    this.session = null;
    this.lastEvent = 0;
    this.waitMs = FIRST_WAIT_MS;
    this.readyAt = Infinity;
    this.open = false;
    this.ending = false;
    this.over = false;
    this.state = "";
    this.finished = new Promise((resolve) => { this.resolve = resolve; });
    this.connect();
  }

  get unansweredS() { return (this.end - this.committed) / this.rate; }

  // The link

  connect() {
    if (this.over) return;
    this.tell(this.session || this.lostAt ? "reconnecting" : "connecting");
    this.limit = 0;
    this.open = false;
    this.opened = false;
    this.asked = null; // what the server asks us to wait, in ms
    const resume = this.session ? "?session=" + encodeURIComponent(this.session.session_id) : "";
    const protocols = this.key ? ["asrctl.v1", "asrctl.key." + this.key] : ["asrctl.v1"];
    let socket;
    try {
      socket = new WebSocket(this.url + resume, protocols);
    } catch { // a key with characters that no subprotocol may have
      return this.tell("key");
    }
    this.socket = socket;
    socket.onopen = () => { this.opened = true; this.hello(); };
    socket.onmessage = (event) => this.take(JSON.parse(event.data));
    socket.onclose = (event) => { if (socket === this.socket) this.closed(event.code); };
  }

  hello() {
    if (this.session) {
      const { session_id, resume_token } = this.session;
      return this.say({ type: "resume", session_id, resume_token, last_event_id: this.lastEvent });
    }
    const from = Math.max(this.committed, this.chunks[0]?.at ?? this.end);
    if (from > this.committed) this.gap(this.committed, from, UNSENT);
    this.committed = from;
    const format = { encoding: "pcm_s16le", sample_rate: this.rate, channels: 1 };
    this.say({ type: "start", ...this.start, format, audio_offset: from });
  }

  async closed(code) {
    const wasOpen = this.opened;
    this.open = false;
    clearInterval(this.alive);
    if (this.over) return;
    if (this.done) return this.end_("ended", { account: this.done });
    if (FATAL.includes(code)) return this.end_("failed", { message: this.message ?? `closed with ${code}` });
    const gone = GONE.includes(code);
    if (gone) { // a new session, where the finals ended
      this.session = null;
      this.lastEvent = 0;
    }
    if (Date.now() - this.readyAt > GOOD_LINK_MS) this.waitMs = FIRST_WAIT_MS;
    this.readyAt = Infinity;
    this.lostAt ??= Date.now();
    if (gone && !this.goneBefore) {
      this.goneBefore = true;
      return this.connect();
    }
    // A page is not told of an HTTP status and Retry-After where a socket is refused: it asks another path.
    const why = wasOpen ? {} : await this.probe();
    if (this.over) return;
    if (why.key) return this.tell("key"); // until `unlock`
    if (why.failed) return this.end_("failed", { message: why.failed });
    const jitter = 0.8 + 0.4 * Math.random();
    const waitMs = (this.asked ?? why.retryMs ?? this.waitMs) * jitter;
    this.waitMs = Math.min(MOST_WAIT_MS, 2 * this.waitMs);
    const busy = why.busy ?? (this.asked ? this.message : null);
    this.tell(busy ? "busy" : "reconnecting", { reason: busy, atMs: Date.now() + waitMs });
    this.retry = setTimeout(() => this.connect(), waitMs);
  }

  // Do not wait any longer, for instance because the browser is online again.
  hurry() {
    if (this.over || !this.retry || this.state === "live") return;
    clearTimeout(this.retry);
    this.connect();
  }

  unlock(key) {
    this.key = key;
    if (!this.over && this.state === "key") this.connect();
  }

  say(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  tell(state, details = {}) {
    this.state = state;
    this.on({ type: "state", state, ...details });
  }

  end_(state, details = {}) {
    if (this.over) return;
    this.over = true;
    this.open = false;
    clearInterval(this.alive);
    clearTimeout(this.retry);
    this.tell(state, details);
    this.resolve(state);
  }

  // What comes down

  take(message) {
    if (message.id) {
      if (message.id <= this.lastEvent) return;
      this.lastEvent = message.id;
      if (message.type !== "done") this.say({ type: "ack", event_id: message.id });
    }
    switch (message.type) {
      case "ready": this.ready(message); break;
      case "ack":
        this.received = Math.max(this.received, message.received);
        this.limit = Math.max(this.limit, message.received + this.session.window_samples);
        this.commit(message.committed);
        break;
      case "final":
        this.on(message);
        this.commit(message.to);
        break;
      case "dropped": this.gap(message.from, message.to, message.reason); this.commit(message.to); break;
      case "error":
        this.message = message.message;
        if (message.retry_after_s) this.asked = 1000 * message.retry_after_s;
        break;
      case "done": this.done = message; break;
      default: this.on(message); // partial, status, metrics, goaway, and what later servers say
    }
    this.pump();
    this.progress();
  }

  ready(message) {
    this.session = message;
    this.open = true;
    this.goneBefore = false;
    this.readyAt = Date.now();
    this.lostAt = null;
    this.retry = null;
    const idleMs = 500 * message.limits.idle_timeout_s;
    clearInterval(this.alive);
    this.alive = setInterval(() => this.say({ type: "ack", event_id: 0 }), idleMs);
    this.next = this.received = message.audio_offset;
    this.limit = message.audio_offset + message.window_samples;
    this.on(message);
  }

  // Live, or catching up; said once each time it changes.
  progress() {
    if (!this.open && !this.ending) return;
    const behindS = (this.end - this.received) / this.rate;
    const state = behindS > CATCHING_UP_S ? "catching up" : "live";
    if (this.open && state !== this.state) this.tell(state, { behindS });
  }

  gap(from, to, reason) {
    this.on({ type: "gap", start_s: from / this.rate, end_s: to / this.rate, reason });
  }

  // What goes up

  commit(position) {
    this.committed = Math.max(this.committed, position);
    while (this.chunks.length && this.chunks[0].at + this.chunks[0].samples.length <= this.committed) {
      this.chunks.shift();
    }
  }

  // Send what may be sent now.
  pump() {
    if (!this.open) return;
    const most = Math.floor(this.session.limits.max_message_bytes / 2);
    this.skip(this.chunks[0]?.at ?? this.end);
    for (const { at, samples } of this.chunks) {
      while (this.next < at + samples.length) {
        const end = Math.min(at + samples.length, this.limit, this.next + most);
        if (end <= this.next) return;
        this.socket.send(samples.slice(this.next - at, end - at));
        this.next = end;
      }
    }
    if (this.ending && this.next === this.end) {
      this.open = false;
      this.say({ type: "finish", audio_offset: this.end });
    }
  }

  // Declare what we had to let go of; positions go on behind it.
  skip(to) {
    while (this.next < to) {
      const frames = Math.min(to - this.next, MAX_SKIP_S * this.rate);
      this.say({ type: "skip", frames, reason: UNSENT });
      this.next += frames;
    }
  }

  // Float32Array within ±1, at the sample rate.
  feed(floats) {
    if (this.over || this.ending) return;
    const samples = new Int16Array(floats.length);
    for (let i = 0; i < floats.length; i++) {
      samples[i] = Math.round(32767 * Math.max(-1, Math.min(1, floats[i])));
    }
    this.chunks.push({ at: this.end, samples });
    this.end += samples.length;
    while (this.end - this.chunks[0].at > MAX_KEPT_S * this.rate) this.chunks.shift();
    this.pump();
    this.progress();
  }

  // No more audio; resolves with "ended", or why there is no account.
  finish() {
    this.ending = true;
    if (this.end === 0 && !this.session) this.give_up();
    else this.pump();
    return this.finished;
  }

  // End at once, whatever is not final.
  give_up() {
    this.end_("stopped");
    this.socket?.close();
  }
}
