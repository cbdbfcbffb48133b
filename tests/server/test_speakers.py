"""Sessions whose speakers are told apart by voice: who may ask, what they are told, and when."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from asrctl.protocol.messages import Error, Final, Speaker, SpeakersLost
from asrctl.speakers import live_process
from tests.speakers import children

from .servers import Running, Talker, options_for, running, script, spoken


def _labels(talker: Talker) -> tuple[set[str | None], set[str | None]]:
    """What was first said of the speakers of finals, and what was said last."""
    first: dict[int, str | None] = {}
    last: dict[int, str | None] = {}
    for each in talker.news:
        if isinstance(each, Final | Speaker) and each.speaker:
            first.setdefault(each.utterance, each.speaker)
            last[each.utterance] = each.speaker
    assert {*last} == {final.utterance for final in talker.of(Final) if final.text}
    return {*first.values()}, {*last.values()}


def until_labelled(talker: Talker) -> None:
    """Send all, and wait until something is said of a speaker."""
    talker.send()
    while not any(isinstance(each, Final | Speaker) and each.speaker for each in talker.news):
        talker.receive()


@pytest.mark.parametrize("speakers", [True, 2])
def test_labels_come_and_are_corrected(telling: Running, speakers: bool | int) -> None:
    """With a name for each word, the last before the end; `/capabilities` says that it can be had."""
    assert json.loads(telling.get("/capabilities")[1])["speakers"] is True
    with Talker(telling.url, spoken(1, 2, 3), speakers=speakers, words=True) as talker:
        until_labelled(talker)
        talker.finish()
    assert talker.words == ["w1", "w2", "w3"]
    first, last = _labels(talker)
    assert "Speaker 1" in first and last == {"Speaker 2"}
    assert {*(talker.of(Speaker)[-1].words or ())} == {"Speaker 2"}


def test_without_words_the_final_has_a_speaker(telling: Running) -> None:
    """Who said most of it; a session that does not ask has none."""
    with Talker(telling.url, spoken(1, 2, 3), speakers=True) as talker:
        until_labelled(talker)
        talker.finish()
    first, last = _labels(talker)
    assert "Speaker 1" in first and last == {"Speaker 2"}
    assert all(each.words is None for each in talker.of(Speaker))
    with Talker(telling.url, spoken(1)) as talker:
        talker.finish()
    assert talker.of(Final)[0].speaker is None and not talker.of(Speaker)


def test_labels_go_on_after_a_lost_socket(telling: Running) -> None:
    """What was said of speakers meanwhile comes again, like finals; names stay."""
    with Talker(telling.url, spoken(1, 2, 3) + spoken(4, 5), speakers=True) as talker:
        until_labelled(talker)
        talker.cut()
        talker.connect()
        talker.finish()
    assert talker.words == ["w1", "w2", "w3", "w4", "w5"]
    first, last = _labels(talker)
    assert "Speaker 1" in first and last == {"Speaker 2"}


def test_a_server_that_cannot(tmp_path: Path) -> None:
    """It says so before any audio comes, and beforehand."""
    with running(options_for(script(tmp_path / "script.json"))) as server:
        assert json.loads(server.get("/capabilities")[1])["speakers"] is False
        with Talker(server.url, b"", speakers=True) as talker:
            assert [each.code for each in talker.of(Error)] == ["no_speakers"]


def test_who_is_known_is_not_told_apart(telling: Running) -> None:
    """One speaker, or several."""
    with Talker(telling.url, b"", speakers=True, speaker="Anna") as talker:
        assert [each.code for each in talker.of(Error)] == ["bad_request"]


def test_a_crash_costs_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients are told once; the words are there."""
    monkeypatch.setattr(live_process, "COMMAND", children.crashing())
    with running(options_for(script(tmp_path / "script.json"), speakers_dir=tmp_path)) as server:
        with Talker(server.url, spoken(1, 2), speakers=True) as talker:
            talker.finish()
        assert talker.words == ["w1", "w2"]
        (lost,) = talker.of(SpeakersLost)
        assert "crashed" in lost.reason
