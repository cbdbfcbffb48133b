"""Speakers on the page: asked for, shown, corrected, saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("playwright")

from .browser import needs_browser
from .chromium import KEEP_SOCKETS, Visit, origin_of, silent
from .servers import Running, spoken, until
from .test_page_in_browser import HOSTILE, answer_files

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

pytestmark = needs_browser
FINAL = {"type": "final", "start_s": 0, "end_s": 1, "from": 0, "to": 0, "confidence": 1}


def labels(visit: Visit) -> list[str]:
    """Of the finals, in order; "" where none is shown."""
    shown = visit.page.locator(".log li:not(.gap) > .speaker")
    return [shown.nth(at).inner_text() for at in range(shown.count())]


def rendered(part: Locator) -> str:
    """Its text as it is seen, once it is: what is out of sight is not laid out (`content-visibility`)."""
    part.scroll_into_view_if_needed()
    until(lambda: bool(part.inner_text()))
    return part.inner_text()


def saved(visit: Visit, format_: str) -> str:
    """What is saved."""
    visit.page.select_option("#format", format_)
    with visit.page.expect_download() as download:
        visit.page.click("#save")
    return Path(download.value.path()).read_text()


def test_a_server_that_cannot(shared: Running, browser: Browser) -> None:
    """Speakers are not offered."""
    visit = Visit(browser, origin_of(shared))
    assert not visit.page.is_visible("#speakers")


def test_speakers_are_shown_and_saved(telling: Running, browser: Browser) -> None:
    """Only where asked for; labels are corrected in place, and stand in all that leaves the page."""
    visit = Visit(
        browser, origin_of(telling), hears=spoken(5, 6), permissions=["clipboard-read", "clipboard-write"]
    )
    assert visit.page.is_visible("#speakers") and not visit.page.is_checked("#speakers")
    visit.start()
    visit.wait_for_words(2)
    visit.stop()
    assert labels(visit) == ["", ""]
    visit.page.click("#clear")
    visit.page.check("#speakers")
    visit.start()
    assert visit.page.is_disabled("#speakers")
    visit.wait_for_words(2)
    visit.page.wait_for_selector(".speaker:text-is('Speaker 1')")
    visit.stop()
    assert (labels(visit), visit.words) == (["Speaker 2"] * 2, ["w5", "w6"])
    assert saved(visit, "txt") == "Speaker 2: w5\nSpeaker 2: w6\n"
    assert "Speaker 2: w5" in saved(visit, "srt")
    assert "<v Speaker 2>w5" in saved(visit, "vtt")
    assert [each["speaker"] for each in json.loads(saved(visit, "json"))["segments"]] == ["Speaker 2"] * 2
    visit.page.click("#copy")
    visit.page.wait_for_selector("#notice:text-is('Copied.')")
    copied = visit.page.evaluate("navigator.clipboard.readText()").splitlines()
    assert copied == ["Speaker 2: w5", "Speaker 2: w6"]
    assert not visit.errors


def test_what_is_corrected(telling: Running, browser: Browser) -> None:
    """The final that is meant, which need not be the last; a later session's speakers may be others."""
    visit = Visit(browser, origin_of(telling), hears=silent(), script=KEEP_SOCKETS)
    visit.start()
    visit.wait_for_state("live")
    for number in range(3):
        visit.inject({**FINAL, "utterance": number, "text": f"w{number}", "speaker": "Speaker 1"})
    visit.inject({"type": "speaker", "utterance": 1, "speaker": HOSTILE})
    visit.inject({"type": "speaker", "utterance": 2})
    visit.inject({"type": "speaker", "utterance": 7, "speaker": "Speaker 1"})
    assert labels(visit) == ["Speaker 1", HOSTILE, ""]
    limits = {"idle_timeout_s": 60, "max_message_bytes": 1 << 20}
    visit.inject(
        {"type": "ready", "session_id": "other", "audio_offset": 0, "window_samples": 0, "limits": limits}
    )
    visit.inject({**FINAL, "utterance": 0, "text": "w3", "speaker": "Speaker 1"})
    visit.inject({"type": "speaker", "utterance": 0, "speaker": "Speaker 2"})
    assert labels(visit) == ["Speaker 1", HOSTILE, "", "Speaker 2 (2)"]
    visit.inject({"type": "speakers_lost", "reason": "a crash"})
    assert "speakers are not told apart any more: a crash" in visit.page.inner_text("#notice")
    assert not visit.errors


def test_the_speaker_changes_inside_an_utterance(telling: Running, browser: Browser) -> None:
    """A label stands where it does, and moves when words are corrected; what is saved has a part for each."""
    visit = Visit(browser, origin_of(telling), hears=silent(), script=KEEP_SOCKETS)
    visit.start()
    visit.wait_for_state("live")
    said = [("Yes,", "Anna"), ("yes.", None), ("No!", "Ben")]
    words = [
        {"start_s": at, "end_s": at + 1, "text": text, "confidence": 1, **({"speaker": who} if who else {})}
        for at, (text, who) in enumerate(said)
    ]
    final = {**FINAL, "end_s": 3, "text": "Yes, yes. No!", "speaker": "Anna"}
    visit.inject({**final, "utterance": 0, "words": words})
    unlike = [{**words[0], "text": "none of these"}]
    visit.inject({**final, "utterance": 1, "start_s": 3, "end_s": 6, "words": unlike})
    shown = visit.page.locator(".log li > span")
    assert [rendered(shown.nth(at)) for at in (0, 1)] == ["Yes, yes.\nBen\nNo!", "Yes, yes. No!"]
    assert labels(visit) == ["Anna", "Anna"]
    visit.inject({"type": "speaker", "utterance": 0, "speaker": "Ben", "words": ["Anna", "Ben", HOSTILE]})
    visit.inject({"type": "speaker", "utterance": 1, "speaker": "Ben", "words": ["Anna", "Anna"]})
    assert rendered(shown.nth(0)) == f"Yes,\nBen\nyes.\n{HOSTILE}\nNo!"
    assert labels(visit) == ["Anna", "Ben"]
    assert "Anna: Yes,\nBen: yes.\n" in saved(visit, "txt")
    segments = json.loads(saved(visit, "json"))["segments"]
    assert [(each["start_s"], each["end_s"]) for each in segments] == [(0, 1), (1, 2), (2, 3), (3, 6)]
    assert not visit.errors


def test_speakers_of_files(telling: Running, browser: Browser) -> None:
    """A file is asked for with its speakers, whose letters become labels."""
    visit = Visit(browser, origin_of(telling))
    segment = {"type": "transcript.text.segment", "start": 0, "end": 1, "text": "Hi.", "speaker": "B"}
    answer_files(visit, [segment, {"type": "transcript.text.done", "text": "Hi."}])
    visit.page.check("#speakers")
    visit.page.set_input_files("#file", {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"RIFF"})
    visit.page.wait_for_selector(".account:text-is('done')")
    assert b'name="response_format"\r\n\r\ndiarized_json' in visit.uploads[0]
    assert labels(visit) == ["Speaker B"] and saved(visit, "txt") == "Speaker B: Hi.\n"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(telling: Running, browser: Browser, scheme: str) -> None:
    """The rules of WCAG hold with labels on the page; a correction is not read out."""
    sync_axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    visit = Visit(browser, origin_of(telling), hears=silent(), script=KEEP_SOCKETS, color_scheme=scheme)
    visit.start()
    visit.wait_for_state("live")
    visit.inject({**FINAL, "utterance": 0, "text": "Good morning.", "speaker": "Speaker 1"})
    results = sync_axe.Axe().run(visit.page)
    assert not results.violations_count, results.generate_report()
    assert visit.page.get_attribute(".log", "aria-relevant") == "additions"
