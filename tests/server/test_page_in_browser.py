"""The page as a person meets it: in a real browser, at a real server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

pytest.importorskip("playwright")

from asrctl.audio.sample import SAMPLE_WORDS, sample_speech
from asrctl.policy.admission import AdmissionOptions
from asrctl.providers.base import ModelSpec

from ..streaming.speech import silence
from .browser import CHROMIUM, needs_browser
from .child import Child
from .chromium import FLAGS, KEEP_SOCKETS, PATIENCE_MS, Visit, origin_of, silent
from .files.requests import HELLO, wav
from .servers import Running, Talker, options_for, running, spoken, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

pytestmark = needs_browser
Scripted = Callable[..., ModelSpec]


def test_words_come_to_the_screen(shared: Running, browser: Browser) -> None:
    """Speech becomes finals, the account balances, and nothing but this server was asked for anything."""
    visit = Visit(browser, origin_of(shared), hears=spoken(5, 6, 7))
    visit.start()
    visit.wait_for_words(3)
    assert visit.state == "live"
    visit.stop()
    assert visit.words == ["w5", "w6", "w7"]
    assert "dropped 0.0 s" in visit.page.inner_text(".account")
    hosts = {
        address.split("/")[2] for address in visit.requests if not address.startswith(("data:", "blob:"))
    }
    assert hosts == {f"127.0.0.1:{shared.server.port}"}
    assert not visit.errors


def test_a_server_that_dies_in_mid_sentence(scripted: Scripted, browser: Browser) -> None:
    """Killed and started again, it costs time and no word, and the page says what goes on."""
    numbers = range(1, 9)
    with Child(scripted().path) as server:
        visit = Visit(browser, server.origin, hears=spoken(*numbers))
        visit.start()
        visit.wait_for_words(2)
        visit.page.wait_for_timeout(400)  # on into the next word, whichever that is
        server.kill()
        visit.wait_for_state("reconnecting")
        visit.wait_for_state("of audio kept")
        server.start()
        visit.wait_for_words(len(numbers))
        visit.stop()
        assert visit.words == [f"w{number}" for number in numbers]
        assert not visit.page.locator(".gap").count()
        assert not visit.errors


def test_a_server_that_never_comes_back(scripted: Scripted, browser: Browser) -> None:
    """Whoever does not want to wait for it keeps the text that there is, and can start again."""
    with Child(scripted().path) as server:
        visit = Visit(browser, server.origin, hears=spoken(1, 2, 3))
        visit.start()
        visit.wait_for_words(1)
        server.kill()
        visit.wait_for_state("reconnecting")
        visit.page.click("#start")
        assert visit.page.inner_text("#start") == "Finishing…"
        visit.page.click("#discard")
        visit.wait_for_state("stopped")
        visit.page.wait_for_selector("#start:text-is('Start')")
        assert visit.words[0] == "w1"
        assert not visit.page.is_visible("#discard")


def test_a_full_server(scripted: Scripted, browser: Browser) -> None:
    """A page that finds no room says so, keeps what it hears, and gets in when there is room."""
    options = options_for(scripted(), admission=AdmissionOptions(max_sessions=1))
    with running(options) as server:
        other = Talker(server.url, spoken(1)).connect()
        visit = Visit(browser, origin_of(server), hears=spoken(8, 9))
        visit.start()
        visit.wait_for_state("server busy: all 1 sessions are in use")
        visit.wait_for_state("of audio kept")
        other.finish()
        other.__exit__(None, None, None)
        visit.wait_for_words(2)
        visit.stop()
        assert visit.words == ["w8", "w9"]


@pytest.fixture
def listening(browser: Browser, tmp_path: Path) -> Iterator[Browser]:
    """A browser whose microphone hears a sentence again and again: a busy one loses some of its audio."""
    sentence = tmp_path / "sentence.wav"
    sentence.write_bytes(wav(np.concatenate((sample_speech(), silence(2.0)))))
    flag = f"--use-file-for-fake-audio-capture={sentence}"
    opened = browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, flag])
    yield opened
    opened.close()


@pytest.mark.integration
def test_the_microphone(real: Running, listening: Browser) -> None:
    """A sentence spoken into the microphone stands on the page, with real weights."""
    visit = Visit(listening, origin_of(real))
    visit.start()
    visit.page.wait_for_function(
        "(words) => words.every((each) => "
        "[...document.querySelectorAll('.log li:not(.gap) > span')]"
        ".some((final) => final.textContent.toLowerCase().includes(each)))",
        arg=list(SAMPLE_WORDS),
        timeout=2 * PATIENCE_MS,
    )
    visit.stop()
    assert not visit.errors


HOSTILE = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'


def test_hostile_text_stays_text(shared: Running, browser: Browser) -> None:
    """What models, servers and file names say is shown as it is, in every place, and never becomes markup."""
    visit = Visit(browser, origin_of(shared), hears=silent(), script=KEEP_SOCKETS)
    visit.start()
    visit.wait_for_state("live")
    spans = {"utterance": 0, "start_s": 0, "end_s": 1}
    visit.inject({"type": "partial", "stable": HOSTILE, "unstable": HOSTILE, **spans})
    assert visit.page.inner_text(".partial").strip() == f"{HOSTILE} {HOSTILE}"
    visit.inject({"type": "final", "text": HOSTILE, "from": 0, "to": 0, "confidence": 1, **spans})
    visit.inject({"type": "dropped", "from": 0, "to": 0, "reason": HOSTILE})
    change = {"level": 2, "from_level": 0, "model": HOSTILE, "reason": HOSTILE}
    visit.inject({"type": "status", **change})
    assert visit.finals == [HOSTILE]
    assert visit.page.text_content(".gap > span") == f"[0.0 s not transcribed: {HOSTILE}]"
    assert HOSTILE in visit.page.inner_text("#rung")
    assert visit.state == "live"
    assert visit.page.evaluate("[window.pwned ?? 0, document.querySelectorAll('img, li script').length]") == [
        0,
        0,
    ]
    assert not visit.errors


def test_the_policy_holds(shared: Running, browser: Browser) -> None:
    """Were there a hole in the page, its text would still not become markup, and would reach nobody."""
    visit = Visit(browser, origin_of(shared))
    refused = visit.page.evaluate(
        """async () => {
          const refused = [];
          const note = (event) => refused.push(event.effectiveDirective);
          document.addEventListener("securitypolicyviolation", note);
          const tries = [
            () => { document.body.innerHTML = "<b>x</b>"; },
            () => fetch("http://elsewhere.test/"),
            () => new Promise((resolve) => { new WebSocket("ws://elsewhere.test/").onerror = resolve; }),
          ];
          for (const each of tries) {
            try { await each(); } catch { continue; }
          }
          return refused;
        }"""
    )
    assert refused == ["require-trusted-types-for", "connect-src", "connect-src"]


def test_files_are_saved(shared: Running, browser: Browser) -> None:
    """Each format arrives as a file, made by the server."""
    visit = Visit(browser, origin_of(shared), hears=spoken(5, 6))
    visit.start()
    visit.wait_for_words(2)
    visit.stop()
    for name, first in (("txt", "w5"), ("srt", "1\n"), ("vtt", "WEBVTT"), ("json", "{")):
        visit.page.select_option("#format", name)
        with visit.page.expect_download() as download:
            visit.page.click("#save")
        assert download.value.suggested_filename.endswith(f".{name}")
        text = Path(download.value.path()).read_text()
        assert text.startswith(first) and "w5" in text and "w6" in text
    saved = json.loads(text)
    account = saved["audio"]
    rest_s = account["received_s"] - account["speech_s"] - account["silence_s"] - account["dropped_s"]
    assert saved["model"] == "words" and abs(rest_s) < 1e-6 < account["speech_s"]


def test_the_key(scripted: Scripted, browser: Browser) -> None:
    """It is asked for, used for everything, and stands in no address."""
    with running(options_for(scripted(), api_key="sesame")) as server:
        visit = Visit(browser, origin_of(server), hears=spoken(5))
        assert visit.page.is_visible("#key-dialog")
        visit.page.fill("#key", "wrong")
        visit.page.press("#key", "Enter")
        visit.page.wait_for_selector("#key-dialog[open]")
        visit.page.fill("#key", "sesame")
        visit.page.press("#key", "Enter")
        visit.page.wait_for_selector("#model option", state="attached")
        visit.start()
        visit.wait_for_words(1)
        visit.stop()
        visit.page.click("#server summary")
        visit.page.wait_for_selector("#readings dd")
        assert visit.words == ["w5"]
        assert not [address for address in visit.requests if "sesame" in address]
        assert visit.page.evaluate("[localStorage.length, document.cookie]") == [0, ""]


def test_two_tracks(shared: Running, browser: Browser) -> None:
    """Microphone and system audio are two sessions in two columns, and one transcript."""
    visit = Visit(browser, origin_of(shared), hears=spoken(5, 6))
    visit.page.select_option("#source", "both")
    visit.start()
    visit.wait_for_words(4)
    until(lambda: server_metric(shared, "attached") == 2)
    visit.stop()
    assert visit.page.locator(".track h2").all_text_contents() == ["Microphone", "System audio"] or (
        visit.page.locator(".track h2").all_text_contents() == ["System audio", "Microphone"]
    )
    assert sorted(visit.words) == ["w5", "w5", "w6", "w6"]
    with visit.page.expect_download() as download:
        visit.page.click("#save")
    text = Path(download.value.path()).read_text()
    assert "Microphone: w5" in text and "System audio: w6" in text


def server_metric(server: Running, state: str) -> float:
    return server.metric(f'asrctl_sessions{{state="{state}"}}')


def test_the_panel(shared: Running, browser: Browser) -> None:
    """The operator sees sessions, queue, rung, memory and refusals, only while the panel is open."""
    visit = Visit(browser, origin_of(shared))
    assert not [address for address in visit.requests if address.endswith("/metrics")]
    visit.page.click("#server summary")
    visit.page.wait_for_selector("#readings dd")
    rows = dict(
        zip(
            visit.page.locator("#readings dt").all_text_contents(),
            visit.page.locator("#readings dd").all_text_contents(),
            strict=True,
        )
    )
    assert rows["Decodes speech"] == "yes"
    assert rows["Sessions"].endswith(" of 10")
    assert rows["Rung"] == "normal"
    assert int(rows["Memory"].split()[0]) > 10
    assert {"Queue", "Longest wait", "Load", "Refused", "Workers replaced"} <= set(rows)


def answer_files(visit: Visit, events: list[dict[str, object]]) -> None:
    """Have the visit's server take files, as OpenAI's interface does."""
    lines = [f"data: {json.dumps(each)}\n\n" for each in events] + ["data: [DONE]\n\n"]

    def answer(route: Route) -> None:
        if route.request.method == "POST":
            visit.uploads.append(route.request.post_data_buffer or b"")
            route.fulfill(status=200, content_type="text/event-stream", body="".join(lines))
        else:
            route.fulfill(status=405, body="")

    visit.page.route("**/v1/audio/transcriptions", answer)
    visit.page.reload()
    visit.page.wait_for_selector("body[data-loaded]", state="attached")


DELTAS: list[dict[str, object]] = [
    {"type": "transcript.text.delta", "delta": "one two"},
    {"type": "transcript.text.delta", "delta": " <b>three</b>"},
]
DONE: dict[str, object] = {"type": "transcript.text.done", "text": "one two <b>three</b>"}


def test_a_server_that_takes_no_files(shared: Running, browser: Browser) -> None:
    """Where the route is not there, nothing is offered."""
    visit = Visit(browser, origin_of(shared))
    visit.page.route("**/v1/audio/transcriptions", lambda route: route.fulfill(status=404))
    visit.page.reload()
    visit.page.wait_for_selector("body[data-loaded]", state="attached")
    assert not visit.page.is_visible("#files")


def test_files_without_times(shared: Running, browser: Browser) -> None:
    """A file's text comes in a column of its own; subtitles, which would need times, are refused."""
    visit = Visit(browser, origin_of(shared))
    answer_files(visit, [*DELTAS, DONE])
    visit.page.set_input_files("#file", {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"RIFFdata"})
    visit.page.wait_for_selector(".account:text-is('done')")
    assert visit.finals == ["one two <b>three</b>"]
    [upload] = visit.uploads
    assert b'name="file"; filename="a.wav"' in upload and b"RIFFdata" in upload
    assert b'name="stream"\r\n\r\ntrue' in upload
    visit.page.select_option("#format", "srt")
    visit.page.click("#save")
    assert "without times" in visit.page.inner_text("#notice")


def test_files_with_times(shared: Running, browser: Browser) -> None:
    """Several files are worked off one by one; the one that is chosen becomes subtitles."""
    visit = Visit(browser, origin_of(shared))
    segment = {"type": "transcript.text.segment", "id": "0", "start": 1.5, "end": 3.0, "text": " one two"}
    answer_files(visit, [DELTAS[0], segment, DONE])
    chosen = [{"name": name, "mimeType": "audio/wav", "buffer": b"RIFF"} for name in ("a.wav", "b.wav")]
    visit.page.set_input_files("#file", chosen)
    visit.page.wait_for_selector(".account:text-is('done') >> nth=1")
    assert len(visit.uploads) == 2
    visit.page.select_option("#what", "a.wav")
    visit.page.select_option("#format", "srt")
    with visit.page.expect_download() as download:
        visit.page.click("#save")
    text = Path(download.value.path()).read_text()
    assert text.startswith("1\n00:00:01,500 --> 00:00:0") and text.count("one two") == 1


def test_a_file_at_the_real_server(shared: Running, browser: Browser) -> None:
    """A file that is dropped becomes subtitles with the times that its words have in it."""
    visit = Visit(browser, origin_of(shared))
    visit.page.set_input_files("#file", {"name": "a.wav", "mimeType": "audio/wav", "buffer": HELLO})
    visit.page.wait_for_selector(".account:text-is('done')")
    assert visit.words == ["w1", "w2", "w3", "w4", "w5"]
    visit.page.select_option("#format", "srt")
    with visit.page.expect_download() as download:
        visit.page.click("#save")
    number, times, text = Path(download.value.path()).read_text().strip().split("\n", 2)
    start, _, end = times.partition(" --> ")
    assert number == "1" and text.split() == ["w1", "w2", "w3", "w4", "w5"]
    assert "00:00:00,000" <= start < "00:00:01,000" < end < "00:00:05,000"


def test_a_file_that_fails(shared: Running, browser: Browser) -> None:
    """The reason is shown, also when it comes after the first words."""
    visit = Visit(browser, origin_of(shared))
    answer_files(visit, [DELTAS[0], {"error": {"message": "the file is broken"}}])
    visit.page.set_input_files("#file", {"name": "a.wav", "mimeType": "audio/wav", "buffer": b"RIFF"})
    visit.page.wait_for_selector(".account:text-is('failed')")
    assert visit.page.inner_text("#notice") == "a.wav: the file is broken"
    assert not visit.errors
