// What is on the screen. Text of the server and of models is only ever textContent.

export const byId = (id) => document.getElementById(id);
const NEAR_END_PX = 60;

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children); // strings become text nodes
  return made;
}

export function clock(timeS) {
  const whole = Math.floor(timeS);
  const parts = [Math.floor(whole / 60) % 60, whole % 60].map((each) => String(each).padStart(2, "0"));
  return (whole >= 3600 ? `${Math.floor(whole / 3600)}:` : "") + parts.join(":");
}

export const seconds = (value) => `${value < 10 ? value.toFixed(1) : Math.round(value)} s`;

export function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

export function options(select, entries) {
  const chosen = select.value;
  select.replaceChildren(...entries.map(([value, text]) => element("option", { value }, text)));
  if (entries.some(([value]) => value === chosen)) select.value = chosen;
}

// One column: its finals in a live log, the partial in an element that is not live.
export class TrackView {
  constructor(name, bar = "meter") {
    this.name = name;
    this.list = element("ol");
    this.log = element("div", { class: "log", role: "log", "aria-relevant": "additions",
      "aria-label": `${name}: transcript`, tabindex: "0" }, this.list); // a corrected label is not announced
    this.stable = element("span");
    this.unstable = element("span", { class: "unstable" });
    const words = element("span", { dir: "auto" }, this.stable, " ", this.unstable);
    this.partialLine = element("p", { class: "partial", "aria-live": "off" }, words);
    this.bar = element(bar, { "aria-label": bar === "meter" ? `${name}: level` : `${name}: progress`, max: "1" });
    this.bar.value = 0;
    this.account = element("p", { class: "account" });
    const header = element("header", {}, element("h2", {}, name), this.bar);
    this.root = element("section", { class: "track", "aria-label": name }, header, this.log, this.partialLine, this.account);
    byId("tracks").append(this.root);
  }

  level(share) { this.bar.value = share; }

  partial(stable, unstable) {
    this.follow();
    this.stable.textContent = stable;
    this.unstable.textContent = unstable;
  }

  // Returns what shows who said each word: a label stands where the speaker changes.
  final(words, language) {
    const labels = words.map(() => element("b", { class: "speaker", dir: "auto", hidden: "" }));
    const texts = words.flatMap(({ text }, at) => (at ? [labels[at], text] : [text]));
    this.append(words[0].start_s, "", labels[0], element("span", { dir: "auto", ...(language ? { lang: language } : {}) }, ...texts));
    return () => words.forEach(({ speaker }, at) => {
      labels[at].textContent = speaker;
      labels[at].hidden = !speaker || speaker === words[at - 1]?.speaker;
    });
  }

  gap(startS, endS, reason) {
    const words = `[${seconds(endS - startS)} not transcribed: ${reason}]`;
    this.append(startS, "gap", element("span", { dir: "auto" }, words));
  }

  append(startS, kind, ...words) {
    this.follow();
    this.list.append(element("li", kind ? { class: kind } : {}, element("time", {}, clock(startS)), ...words));
  }

  // Called before the text grows: the end is shown in the next frame. Whoever scrolled up reads there, and is left
  // alone. One layout a frame, however many messages come in it.
  follow() {
    if (this.scrolling || !this.isAtEnd) return;
    this.scrolling = requestAnimationFrame(() => {
      this.scrolling = 0;
      this.log.scrollTo({ top: this.log.scrollHeight, behavior: "instant" });
    });
  }
  get isAtEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.log;
    return scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
  }

  said(account) {
    const { received_s, speech_s, silence_s, dropped_s } = account;
    this.account.textContent = `received ${seconds(received_s)} = speech ${seconds(speech_s)}`
      + ` + silence ${seconds(silence_s)} + dropped ${seconds(dropped_s)}`;
  }

  clear() {
    this.list.replaceChildren();
    this.account.textContent = "";
    this.partial("", "");
  }
}
