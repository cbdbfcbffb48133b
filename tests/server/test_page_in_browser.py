"""The page as a person meets it: in a real browser, at a real server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest

pytest.importorskip("playwright")

from asrctl.audio.sample import SAMPLE_WORDS
from asrctl.policy.admission import AdmissionOptions
from asrctl.providers.base import ModelSpec

from .browser import needs_browser
from .child import Child
from .chromium import Visit, chromium
from .servers import Running, Talker, options_for, running, spoken

pytestmark = needs_browser
Scripted = Callable[..., ModelSpec]


@pytest.fixture
def browser() -> Iterator[object]:
    """A browser."""
    with chromium() as opened:
        yield opened


def origin_of(server: Running) -> str:
    return f"http://127.0.0.1:{server.server.port}"


def test_words_come_to_the_screen(shared: Running, browser: object) -> None:
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


def test_a_server_that_dies_in_mid_sentence(scripted: Scripted, browser: object) -> None:
    """Killed and started again, it costs time and no word, and the page says what goes on."""
    numbers = range(1, 13)
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


def test_a_full_server(scripted: Scripted, browser: object) -> None:
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


@pytest.mark.integration
def test_the_microphone(real: Running) -> None:
    """A sentence spoken into the microphone stands on the page, with real weights."""
    with chromium(Path(str(files("asrctl.assets").joinpath("monday.wav")))) as browser:
        visit = Visit(browser, origin_of(real))
        visit.start()
        visit.page.wait_for_selector(".log li")
        visit.stop()
        heard = {word.strip(".,").casefold() for word in visit.words}
        assert heard >= SAMPLE_WORDS
        assert not visit.errors
