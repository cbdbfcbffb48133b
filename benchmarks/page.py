"""The page in a headless Chromium while hours of captions come fast: frames, delay of partials, memory.

python -m benchmarks.page --hours 1

Needs Chromium on PATH and `playwright` (extra `dev`). Finals of 2.5 s, one each 3 s of an hour, with five
partials before each, are handed to the page's own socket as messages of the server; ten of them between two
frames, some six hundred times as fast as they would be spoken.
"""

from __future__ import annotations

import shutil
import sys
from statistics import median
from typing import Any

from asrctl.errors import AsrctlError
from benchmarks.common import note, table
from benchmarks.serve_process import ServerProcess
from benchmarks.talks import keep, parser

_GOAL_FRAME_MS = 100.0
_GOAL_PARTIAL_MS = 150.0
_FINALS_PER_HOUR = 1200
_KEEP_SOCKETS = """
window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...all) { super(...all); window.sockets.push(this); }
};
"""
_FEED = """async ([first, count]) => {
  const say = (message) => window.sockets[0].onmessage({ data: JSON.stringify(message) });
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const words = "the quick brown fox jumps over the lazy dog ".repeat(2), frames = [];
  let last = await frame();
  for (let i = first; i < first + count; i++) {
    const spans = { utterance: i, start_s: 3 * i, end_s: 3 * i + 2.5 };
    for (let j = 0; j < 5; j++) say({ type: "partial", stable: words, unstable: "more", ...spans });
    say({ type: "final", text: words, from: 0, to: 0, confidence: 1, ...spans });
    if (i % 10 === 9) { const now = await frame(); frames.push(now - last); last = now; }
  }
  return frames;
}"""
_PARTIALS = """async (count) => {
  const delays = [];
  for (let i = 0; i < count; i++) {
    const before = performance.now(), partial = { type: "partial", stable: `word ${i}`, unstable: "" };
    window.sockets[0].onmessage({ data: JSON.stringify(partial) });
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    if (!document.querySelector(".partial").textContent.includes(`word ${i}`)) throw new Error("not shown");
    delays.push(performance.now() - before);
  }
  return delays;
}"""


def main(arguments: list[str] | None = None) -> int:
    """The command line; returns the exit code: 1 if a goal is missed."""
    made = parser("page", __doc__)
    made.add_argument("--hours", type=int, default=1, help="how much is captioned")
    options = made.parse_args(arguments)
    with ServerProcess("--model", options.model) as server:
        frames_ms, delays_ms, heaps_mb = measured(server.url, options.hours)
    frames_ms.sort()
    rows = [
        [
            "frame while captions come",
            median(frames_ms),
            frames_ms[int(0.99 * len(frames_ms))],
            frames_ms[-1],
        ],
        ["from a partial's arrival to its frame", median(delays_ms), "", max(delays_ms)],
    ]
    times = table(["ms", "median", "p99", "most"], rows)
    memory = table(
        ["hours of captions", "JavaScript heap MB", "DOM nodes"],
        [[hour, heap, nodes] for hour, (heap, nodes) in enumerate(heaps_mb)],
    )
    result = {"frames_ms": frames_ms, "partials_ms": delays_ms, "heap_mb_and_nodes_by_hour": heaps_mb}
    keep(options, result, times, memory)
    return int(frames_ms[-1] > _GOAL_FRAME_MS or max(delays_ms) > _GOAL_PARTIAL_MS)


def measured(url: str, hours: int) -> tuple[list[float], list[float], list[tuple[float, int]]]:
    """Frames and delays of partials in ms; heap in MB and DOM nodes, at first and after each hour."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise AsrctlError("there is no chromium on PATH")
    flags = ["--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page()
        page.add_init_script(_KEEP_SOCKETS)
        page.goto(url.replace("ws://", "http://").partition("/v1/")[0])
        page.click("#start")
        page.wait_for_function("() => document.getElementById('state').textContent.includes('live')")
        frames_ms, heaps = list[float](), [heap_of(page)]
        for hour in range(hours):
            frames_ms += page.evaluate(_FEED, [hour * _FINALS_PER_HOUR, _FINALS_PER_HOUR])
            heaps.append(heap_of(page))
            note(f"hour {hour + 1}: {heaps[-1][0]:.1f} MB")
        delays_ms = page.evaluate(_PARTIALS, 100)
        browser.close()
    return frames_ms, delays_ms, heaps


def heap_of(page: Any) -> tuple[float, int]:
    """What the page's scripts hold after a garbage collection, in MB, and its DOM nodes."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    values = {each["name"]: each["value"] for each in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return values["JSHeapUsedSize"] / 1e6, int(values["Nodes"])


if __name__ == "__main__":
    sys.exit(main())
