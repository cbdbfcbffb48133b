"""The page for everybody: keyboard, screen readers, small screens, captions, long meetings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("playwright")

from asrctl.transcript import SAMPLE_RATE_HZ

from .browser import needs_browser
from .chromium import KEEP_SOCKETS, Visit, origin_of, silent
from .servers import Running, pcm, spoken

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = needs_browser


def test_with_the_keyboard_alone(shared: Running, browser: Browser) -> None:
    """A person without a mouse starts, stops, copies, gets help and reaches every control by Tab."""
    visit = Visit(
        browser, origin_of(shared), hears=spoken(5, 6), permissions=["clipboard-read", "clipboard-write"]
    )
    keyboard = visit.page.keyboard
    keyboard.press("?")
    assert visit.page.is_visible("#help")
    keyboard.press("Escape")
    assert not visit.page.is_visible("#help")
    keyboard.press("Space")
    visit.wait_for_words(2)
    keyboard.press("Space")
    visit.wait_for_state("ended")
    keyboard.press("c")
    visit.page.wait_for_selector("#notice:text-is('Copied.')")
    assert visit.page.evaluate("navigator.clipboard.readText()").split() == ["w5", "w6"]
    visit.page.focus("#help-open")
    keyboard.press("Space")  # presses the button that has the focus, and records nothing
    assert visit.page.is_visible("#help")
    assert visit.page.inner_text("#start") == "Start"
    keyboard.press("Escape")
    keyboard.press("l")
    assert visit.page.evaluate("document.activeElement.id") == "language"
    keyboard.press("c")  # chooses a language there, and copies nothing
    assert visit.page.evaluate("document.activeElement.id") == "language"
    seen = set()
    for _ in range(30):
        keyboard.press("Tab")
        seen.add(visit.page.evaluate("document.activeElement.id || document.activeElement.localName"))
    expected = {"help-open", "start", "source", "model", "processing", "copy", "format", "save", "captions"}
    assert seen >= {*expected, "clear", "summary", "div"}


def test_captions(shared: Running, browser: Browser) -> None:
    """The address for a browser source starts by itself and shows two lines of text, and nothing else."""
    visit = Visit(browser, origin_of(shared), "/?captions=1&autostart=1", hears=spoken(5, 6))
    visit.wait_for_words(2)
    assert [visit.page.is_visible(each) for each in ("#start", "#copy", "#server", "#help-open")] == [
        False
    ] * 4
    size = visit.page.evaluate(
        """() => {
          const track = document.querySelector('.track');
          return track.clientHeight / parseFloat(getComputedStyle(track).fontSize);
        }"""
    )
    assert 2 < size < 3
    visit.page.keyboard.press("Escape")
    assert visit.page.is_visible("#start")


def test_right_to_left_and_small_screens(shared: Running, browser: Browser) -> None:
    """Each text has its own direction, and a telephone's screen needs no scrolling sideways."""
    phone = {"width": 320, "height": 640}
    visit = Visit(browser, origin_of(shared), hears=silent(), script=KEEP_SOCKETS, viewport=phone)
    visit.start()
    visit.wait_for_state("live")
    final = {"type": "final", "utterance": 0, "start_s": 0, "end_s": 1, "from": 0, "to": 0, "confidence": 1}
    visit.inject({**final, "text": "שלום עולם"})
    visit.inject({**final, "text": "x" * 500})
    directions = visit.page.evaluate(
        "[...document.querySelectorAll('.log li > span')].map((each) => getComputedStyle(each).direction)"
    )
    assert directions == ["rtl", "ltr"]
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 320


def test_live_regions(shared: Running, browser: Browser) -> None:
    """Finals are in a polite log; partials are in no live region; the state's countdown is not announced."""
    visit = Visit(browser, origin_of(shared), hears=spoken(5))
    visit.start()
    visit.wait_for_words(1)
    live = "[role=log], [role=status], [role=alert], [aria-live]:not([aria-live=off])"
    inside = "([name, live]) => document.querySelector(name).closest(live) !== null"
    names = (".log li", ".unstable", "#state-detail")
    assert [visit.page.evaluate(inside, [name, live]) for name in names] == [True, False, False]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(
    shared: Running, browser: Browser, scheme: str, request: pytest.FixtureRequest
) -> None:
    """The rules of WCAG that a program can check hold, with text on the page, in both colour schemes."""
    sync_axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    visit = Visit(browser, origin_of(shared), hears=hum(), script=KEEP_SOCKETS, color_scheme=scheme)
    visit.start()
    visit.wait_for_state("live")
    show_a_meeting(visit)
    assert visit.state == "live"
    results = sync_axe.Axe().run(visit.page)
    assert not results.violations_count, results.generate_report()
    directory = request.config.getoption("--screenshots")
    if directory:
        visit.page.screenshot(path=Path(directory) / f"page-{scheme}.png")


def hum() -> bytes:
    """Too quiet to be speech, and seen on the level meter."""
    times_s = np.arange(60 * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    return pcm(np.sin(2 * np.pi * 100 * times_s).astype(np.float32) * np.float32(0.009))


def show_a_meeting(visit: Visit) -> None:
    """Finals, a gap, a partial and a rung, as they look in the middle of a meeting."""
    said = (
        "Good morning, everyone. Let us begin with the budget.",
        "The figures for October are in, and they are better than we thought.",
        "We still have to talk about the second half of the year.",
    )
    span = {"confidence": 0.95, "from": 0, "to": 0}
    for number, text in enumerate(said):
        times = {"utterance": number, "start_s": 4 + 5 * number, "end_s": 8 + 5 * number}
        visit.inject({"type": "final", "text": text, **times, **span})
    visit.inject({"type": "dropped", "from": 304_000, "to": 337_600, "reason": "the server was too busy"})
    change = {"level": 1, "from_level": 0, "model": "words", "reason": "the queue is long"}
    visit.inject({"type": "status", **change})
    times = {"utterance": 3, "start_s": 22, "end_s": 24}
    visit.inject({"type": "partial", "stable": "Shall we meet", "unstable": "again on Monday", **times})


def test_an_hour_of_captions(shared: Running, browser: Browser) -> None:
    """All finals of an hour are there, its end is in view, and whoever scrolled up is left alone."""
    visit = Visit(browser, origin_of(shared), hears=silent(), script=KEEP_SOCKETS)
    visit.start()
    visit.wait_for_state("live")
    outcome = visit.page.evaluate(
        """async () => {
          const frame = () => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
          const log = document.querySelector(".log");
          const toEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight;
          const say = async (count) => {
            for (let i = 0; i < count; i++) {
              const spans = { utterance: i, start_s: 3 * i, end_s: 3 * i + 2.5, from: 0, to: 0 };
              const message = { type: "final", text: "the quick brown fox", confidence: 1, ...spans };
              window.sockets[0].onmessage({ data: JSON.stringify(message) });
              if (i % 10 === 0) await frame();
            }
            await frame();
          };
          await say(1200);
          const followed = toEnd();
          log.scrollTo({ top: 0, behavior: "instant" });
          await frame();
          await say(20);
          return { items: log.querySelectorAll("li").length, followed, top: log.scrollTop };
        }"""
    )
    assert outcome["items"] == 1220
    assert outcome["followed"] < 60 and outcome["top"] == 0
    assert visit.state == "live"


def test_a_partial_is_seen_at_once(shared: Running, browser: Browser) -> None:
    """The next frame shows it; how long that takes is measured by `benchmarks.page`."""
    visit = Visit(browser, origin_of(shared), hears=silent(), script=KEEP_SOCKETS)
    visit.start()
    visit.wait_for_state("live")
    shown = visit.page.evaluate(
        """async () => {
          const shown = [];
          for (let i = 0; i < 20; i++) {
            const partial = { type: "partial", stable: `word ${i}`, unstable: "" };
            window.sockets[0].onmessage({ data: JSON.stringify(partial) });
            await new Promise((resolve) => requestAnimationFrame(resolve));
            shown.push(document.querySelector(".partial").textContent.includes(`word ${i}`));
          }
          return shown;
        }"""
    )
    assert shown == [True] * 20
