"""The page's end of a session, at a socket that does what the test says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("playwright")

from .browser import needs_browser
from .chromium import Visit, origin_of
from .servers import Running

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = needs_browser

RATE_HZ = 8000
KEPT_S = 600
WINDOW_S = 30
SCENE = """
async () => {
  const { AsrctlStream } = await import("/page/stream.js");
  const RATE = 8000, sockets = [], events = [], delays = [];
  class Socket {
    static OPEN = 1;
    readyState = 1;
    sent = [];
    bytes = 0;
    constructor(url, protocols) { Object.assign(this, { url, protocols }); sockets.push(this); }
    send(data) {
      if (typeof data === "string") this.sent.push(JSON.parse(data));
      else this.bytes += data.byteLength;
    }
    close() {}
    say(message) { this.onmessage({ data: JSON.stringify(message) }); }
    ready(offset, session = "a") {
      this.say({ type: "ready", session_id: session, resume_token: "t", audio_offset: offset,
        window_samples: 30 * RATE, limits: { max_message_bytes: 1 << 20, idle_timeout_s: 60 },
        model: "m", provider: "p", level: 0 });
    }
    get last() { return this.sent.at(-1); }
  }
  const [realSocket, realTimeout] = [window.WebSocket, window.setTimeout];
  window.WebSocket = Socket;
  window.setTimeout = (action, ms) => { delays.push(ms); return realTimeout(action, 0); };
  let why = {};
  const stream = new AsrctlStream({ url: "ws://x/v1/stream", sampleRate: RATE, key: "",
    start: { source: "mic" }, on: (event) => events.push(event), probe: async () => why });
  const feed = (seconds) => { for (let i = 0; i < seconds; i++) stream.feed(new Float32Array(RATE)); };
  const turn = () => new Promise((resolve) => realTimeout(resolve, 20));
  const states = () => events.filter((each) => each.type === "state").map((each) => each.state);
  try {
    LINES
  } finally {
    window.WebSocket = realSocket;
    window.setTimeout = realTimeout;
    stream.give_up();
  }
}
"""


def play(browser: Browser, server: Running, lines: str) -> Any:
    """What a scene returns; `lines` are JavaScript that may use what `SCENE` declares."""
    visit = Visit(browser, origin_of(server))
    return visit.page.evaluate(SCENE.replace("LINES", lines))


def test_a_new_session_begins_where_finals_ended(shared: Running, browser: Browser) -> None:
    """After 4410 audio is sent again from `committed` on, at once, and no more than that."""
    seen = play(
        browser,
        shared,
        """
        sockets[0].onopen();
        sockets[0].ready(0);
        feed(10);
        sockets[0].say({ type: "ack", received: 10 * RATE, committed: 4.5 * RATE });
        sockets[0].onclose({ code: 1006 });
        await turn();
        sockets[1].onopen();
        const resume = sockets[1].last;
        sockets[1].onclose({ code: 4410 });
        await turn();
        sockets[2].onopen();
        const start = sockets[2].last;
        sockets[2].ready(start.audio_offset, "b");
        sockets[2].say({ type: "ack", received: 10 * RATE, committed: 4.5 * RATE });
        return { resume, start, bytes: sockets[2].bytes, url: sockets[1].url, delays, states: states() };
        """,
    )
    assert seen["resume"] == {"type": "resume", "session_id": "a", "resume_token": "t", "last_event_id": 0}
    assert seen["url"].endswith("?session=a")
    assert seen["start"]["audio_offset"] == 4.5 * RATE_HZ
    assert seen["bytes"] == 2 * 5.5 * RATE_HZ
    assert len(seen["delays"]) == 1  # none before the new session
    assert seen["states"][-2:] == ["catching up", "live"] and "reconnecting" in seen["states"]


def test_nothing_is_said_twice(shared: Running, browser: Browser) -> None:
    """Events that come again after a resume are known by their number; each is acknowledged once."""
    seen = play(
        browser,
        shared,
        """
        sockets[0].onopen();
        sockets[0].ready(0);
        const final = { type: "final", id: 1, text: "one", start_s: 0, end_s: 1, from: 0, to: RATE };
        sockets[0].say(final);
        sockets[0].onclose({ code: 1012 });
        await turn();
        sockets[1].onopen();
        sockets[1].ready(RATE);
        sockets[1].say(final);
        sockets[1].say({ ...final, id: 2, text: "two" });
        const acks = sockets.flatMap((each) => each.sent).filter((each) => each.type === "ack");
        const texts = events.filter((each) => each.type === "final").map((each) => each.text);
        return { texts, acks: acks.map((each) => each.event_id) };
        """,
    )
    assert seen == {"texts": ["one", "two"], "acks": [1, 2]}


def test_more_than_can_be_kept_while_the_server_is_away(shared: Running, browser: Browser) -> None:
    """The oldest audio goes, and is a gap in the text; the new session starts at the first that there is."""
    seen = play(
        browser,
        shared,
        """
        feed(700);
        sockets[0].onopen();
        return { start: sockets[0].last.audio_offset, gaps: events.filter((each) => each.type === "gap") };
        """,
    )
    assert seen["start"] == (700 - KEPT_S) * RATE_HZ
    [gap] = seen["gaps"]
    assert (gap["start_s"], gap["end_s"]) == (0, 700 - KEPT_S)


def test_more_than_can_be_kept_while_the_server_is_slow(shared: Running, browser: Browser) -> None:
    """In a session what had to go is declared once the window has come to it; positions go on behind it."""
    seen = play(
        browser,
        shared,
        """
        sockets[0].onopen();
        sockets[0].ready(0);
        feed(700);
        const held = sockets[0].bytes;
        const state = stream.state;
        sockets[0].say({ type: "ack", received: 30 * RATE, committed: 30 * RATE });
        const skips = sockets[0].sent.filter((each) => each.type === "skip");
        return { held, state, skips, next: stream.next, limit: stream.limit };
        """,
    )
    assert seen["held"] == 2 * WINDOW_S * RATE_HZ
    assert seen["state"] == "catching up"
    assert sum(each["frames"] for each in seen["skips"]) == (700 - KEPT_S - WINDOW_S) * RATE_HZ
    assert all(each["reason"] for each in seen["skips"])


@pytest.mark.parametrize(
    ("code", "ends"), [(4001, True), (4400, True), (1008, False), (1013, False), (4408, False)]
)
def test_close_codes(shared: Running, browser: Browser, code: int, ends: bool) -> None:
    """What cannot be mended by coming again ends the session with the reason; the rest is tried again."""
    seen = play(
        browser,
        shared,
        f"""
        sockets[0].onopen();
        sockets[0].ready(0);
        sockets[0].say({{ type: "error", code: "x", message: "the reason" }});
        sockets[0].onclose({{ code: {code} }});
        await turn();
        return {{ sockets: sockets.length, last: events.filter((each) => each.type === "state").at(-1) }};
        """,
    )
    assert seen["sockets"] == (1 if ends else 2)
    if ends:
        assert (seen["last"]["state"], seen["last"]["message"]) == ("failed", "the reason")


def test_waiting_times(shared: Running, browser: Browser) -> None:
    """Waits double from 1 s, with jitter; what the server asks for wins; a wrong key is asked for."""
    seen = play(
        browser,
        shared,
        """
        for (let i = 0; i < 5; i++) { sockets[i].onclose({ code: 1006 }); await turn(); }
        why = { busy: "full", retryMs: 7000 };
        sockets[5].onclose({ code: 1006 });
        await turn();
        const busy = events.find((each) => each.state === "busy");
        why = { key: true };
        sockets[6].onclose({ code: 1006 });
        await turn();
        const waiting = [stream.state, sockets.length];
        stream.unlock("k");
        return { delays, reason: busy.reason, waiting, protocols: sockets[7].protocols };
        """,
    )
    for number, delay_ms in enumerate(seen["delays"][:5]):
        assert 0.8 <= delay_ms / (1000 * 2**number) <= 1.2
    assert 0.8 <= seen["delays"][5] / 7000 <= 1.2
    assert seen["reason"] == "full"
    assert seen["waiting"] == ["key", 7]
    assert seen["protocols"] == ["asrctl.v1", "asrctl.key.k"]
