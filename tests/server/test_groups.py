"""Sessions that belong together: their finals come as one stream, in the order of time, within bounds."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from asrctl.cli import subscribe
from asrctl.cli.group_events import events_url
from asrctl.errors import UsageError
from asrctl.protocol.messages import AudioFormat, Final, Speaker, Start, WireWord
from asrctl.providers.base import ModelSpec
from asrctl.server import groups
from tests.cli.commands import run

from .servers import PATIENCE_S, Running, Talker, options_for, running, spoken, until
from .test_speakers import until_labelled

W1, W2 = (WireWord(n, n + 1.0, f"w{n}", 1.0, "Speaker 1") for n in (1, 2))


@pytest.fixture
def group(request: pytest.FixtureRequest) -> str:
    """A name that no other test has."""
    return f"{request.node.name} ü/x"


class Subscriber(threading.Thread):
    """Reads a group's events to their end."""

    def __init__(self, server: Running, name: str, **headers: str) -> None:
        super().__init__(daemon=True)
        self.events: list[dict[str, Any]] = []
        self._url, self._headers = events_url(server.url, name), headers
        self._server = server
        before = server.call(lambda: server.server.hub.groups.subscribers)
        self.start()
        until(lambda: server.call(lambda: server.server.hub.groups.subscribers) > before or self.done)

    def run(self) -> None:
        with (
            httpx.Client(trust_env=False, verify=False, timeout=PATIENCE_S) as http,
            http.stream("GET", self._url, headers=self._headers) as answer,
        ):
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    self.events.append(json.loads(line[6:]))

    @property
    def done(self) -> bool:
        return bool(self.events) and self.events[-1]["type"] == "done"

    def said(self) -> list[tuple[str, str]]:
        """Who said what, of a group that has ended."""
        self.join(PATIENCE_S)
        assert self.done
        return [(each["speaker"], each["text"]) for each in self.events if each["type"] == "final"]


def talker(server: Running, name: str, speaker: str, *words: int) -> Talker:
    return Talker(server.url, spoken(*words), group=name, speaker=speaker)


def test_two_sessions_are_one_conversation(shared: Running, group: str) -> None:
    """In the order of their starts, though one session is transcribed before the other's audio comes."""
    subscriber = Subscriber(shared, group)
    with talker(shared, group, "Ann", 1, 2, 3) as ann, talker(shared, group, "Ben", 11, 12, 13) as ben:
        ann.finish()
        ben.finish()
    said = subscriber.said()
    assert {*said} == {
        (name, f"w{n}") for name, base in (("Ann", 0), ("Ben", 10)) for n in range(base + 1, base + 4)
    }
    starts = [each["start_s"] for each in subscriber.events[:-1]]
    assert starts == sorted(starts)
    assert [each["id"] for each in subscriber.events[:-1]] == [*range(1, 7)]
    assert ann.of(Final)[0].speaker == "Ann"


def test_who_comes_late_gets_what_is_kept(
    shared: Running, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also after the end, for a while; what is not kept is counted, and nobody hears of it twice."""
    monkeypatch.setattr(groups, "MAX_KEPT_EVENTS", 2)
    with talker(shared, group, "Ann", 1, 2, 3) as ann:
        ann.finish()
    late = Subscriber(shared, group)
    assert late.said() == [("Ann", "w2"), ("Ann", "w3")]
    assert late.events[0] == {"type": "missed", "count": 1}
    assert Subscriber(shared, group, **{"Last-Event-ID": "2"}).said() == [("Ann", "w3")]


def labels(events: list[dict[str, Any]]) -> list[str | None]:
    """Who said the finals, by what was said last."""
    known: dict[tuple[str, int], str | None] = {}
    for each in events:
        if each["type"] in ("final", "speaker"):
            known[each["session_id"], each["utterance"]] = each.get("speaker")
    return [*known.values()]


def test_speakers_are_corrected(telling: Running, group: str) -> None:
    """After the finals that they are about, and counted like these."""
    subscriber = Subscriber(telling, group)
    with Talker(telling.url, spoken(1, 2), group=group, speakers=True, words=True) as one:
        until_labelled(one)
        until(lambda: sum(each["type"] == "final" for each in subscriber.events) == 2)
        one.finish()
    subscriber.join(PATIENCE_S)
    assert labels(subscriber.events) == ["Speaker 2"] * 2
    assert subscriber.events[-2]["type"] == "speaker"
    assert subscriber.events[-2]["words"] == ["Speaker 2"]
    final = subscriber.events[0]
    assert final["by_voice"] and [each["text"] for each in final["words"]] == ["w1"]
    assert [each["id"] for each in subscriber.events[:-1]] == [*range(1, len(subscriber.events))]


def test_speakers_of_what_is_held(telling: Running, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A final that waits for another session's is said with what became known meanwhile."""
    monkeypatch.setattr(groups, "MAX_WAIT_S", 2 * PATIENCE_S)
    subscriber = Subscriber(telling, group)
    with Talker(telling.url, spoken(3), group=group) as other:
        with Talker(telling.url, spoken(1, 2), group=group, speakers=True) as one:
            until_labelled(one)
            one.finish()
        other.finish()
    subscriber.join(PATIENCE_S)
    assert [each["type"] for each in subscriber.events] == ["final"] * 3 + ["done"]
    assert sorted(labels(subscriber.events), key=str) == [None, "Speaker 2", "Speaker 2"]


class _Session:
    """As much of a session as a group asks for."""

    def __init__(self, session_id: str) -> None:
        self.session_id, self.committed_s = session_id, 0.0
        self.state = SimpleNamespace(start=Start(AudioFormat(), group="g", speakers=True, words=True))


def test_words_of_what_is_held() -> None:
    """They are corrected with it."""
    group: Any
    group, said = groups.Group(0.0), Final(0, 1.0, 2.0, "w1 w2", 1.0, 0, 9, (W1, W2), speaker="Speaker 1")
    one, other = _Session("a"), _Session("b")
    for session in (one, other):
        group.join(session, 0.0)
    group.take(other, said, 0.0)
    group.correct(other, Speaker(0, "Speaker 2", ("", "Speaker 2")))
    assert not group.kept
    one.committed_s = other.committed_s = 9.0
    group.release(0.0)
    (event,) = (json.loads(text) for _, text in group.kept)
    assert event["speaker"] == "Speaker 2 (2)"
    assert [word.get("speaker") for word in event["words"]] == [None, "Speaker 2 (2)"]


def test_a_name_begins_again(shared: Running, group: str) -> None:
    """A group that has ended and a new one of its name have nothing in common."""
    for word in (1, 2):
        with talker(shared, group, "Ann", word) as ann:
            ann.finish()
        assert Subscriber(shared, group).said() == [("Ann", f"w{word}")]


def test_a_session_that_is_behind_is_waited_for_within_bounds(shared: Running, group: str) -> None:
    """Its client sends nothing; what others say comes all the same, in time."""
    subscriber = Subscriber(shared, group)
    with talker(shared, group, "Ann", 1), talker(shared, group, "Ben", 11) as ben:
        ben.finish()
        groups_of = shared.server.hub.groups
        assert not subscriber.events
        clock = groups_of._clock
        shared.call(lambda: setattr(groups_of, "_clock", lambda: clock() + groups.MAX_WAIT_S))
        until(lambda: subscriber.events)
        shared.call(lambda: setattr(groups_of, "_clock", clock))
    assert subscriber.events[0]["text"] == "w11"


def test_subscribers_are_bounded(shared: Running, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One too many is told to come back; one that has left makes room, and leaves no group behind."""
    monkeypatch.setattr(groups, "MAX_SUBSCRIBERS", 1)
    with httpx.Client(trust_env=False, verify=False, timeout=PATIENCE_S) as http:
        url = events_url(shared.url, group)
        until(lambda: not shared.call(lambda: shared.server.hub.groups.subscribers))
        with http.stream("GET", url):
            until(lambda: shared.call(lambda: shared.server.hub.groups.subscribers))
            refused = http.get(url)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
        until(lambda: not shared.call(lambda: shared.server.hub.groups.subscribers))
        until(lambda: group not in shared.call(lambda: [*shared.server.hub.groups._groups]))


def test_a_subscriber_may_wait_for_long(shared: Running, group: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections that ask for nothing are cut after a while; one that waits for words is not."""
    subscriber = Subscriber(shared, group)
    limiter = shared.server.limiter
    with monkeypatch.context() as patched:
        patched.setattr(limiter, "timeout_s", 0.0)
        shared.call(limiter.sweep)
    with talker(shared, group, "Ann", 1) as ann:
        ann.finish()
    assert subscriber.said() == [("Ann", "w1")]


def test_the_door(shared: Running) -> None:
    """Strange origins, names and methods are refused like everywhere."""
    with httpx.Client(trust_env=False, verify=False, timeout=PATIENCE_S) as http:
        url = events_url(shared.url, "g")
        assert http.get(url, headers={"Origin": "https://example.org"}).status_code == 403
        assert http.post(url).status_code == 405
        assert http.get(events_url(shared.url, "x" * 101)).status_code == 400


def test_nobody_comes(group: str) -> None:
    """A group that does not begin ends for those who wait, and is forgotten."""
    now_s = 0.0
    held = groups.Groups(lambda: now_s)
    waiting = held._open(group)
    waiting.subscribers = 1
    now_s = 599.0
    held.tick()
    assert not waiting.ended
    now_s = 600.0
    held.tick()
    assert waiting.ended
    waiting.subscribers = 0
    held.tick()
    assert not held._groups


def test_a_server_that_ends_does_not_end_the_group(
    scripted: Callable[..., ModelSpec], group: str, no_settings: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its sessions go on elsewhere: what was said here is told, and not that it was all."""
    with running(options_for(scripted())) as server:
        subscriber, waiting = Subscriber(server, group), Subscriber(server, f"{group} to come")

        def say_something_and_end() -> None:
            until(lambda: server.call(lambda: server.server.hub.groups.subscribers) == 3)
            with talker(server, group, "Ann", 1, 2, 3) as ann:
                ann.send(2.0)
                ann.receive_until(Final)
                server.stop()

        ending = threading.Thread(target=say_something_and_end, daemon=True)
        ending.start()
        assert run("transcribe", "--server", server.url, "--subscribe", group) == 5
        for each in (ending, subscriber, waiting):
            each.join(PATIENCE_S)
    assert [each["type"] for each in subscriber.events][:1] == ["final"]
    assert not subscriber.done and not waiting.events
    assert "the server ended before the group did" in " ".join(capsys.readouterr().err.split())


def test_what_was_said_before_a_server_ends_can_be_read() -> None:
    """While it waits for other sessions, for the same while as a group that has ended."""
    now_s, group = 0.0, "g"
    held = groups.Groups(lambda: now_s)
    session: Any = _Session("a")
    held.join(session)
    held.closing = True
    held.leave(session)
    now_s = 59.0
    held.tick()
    assert held._groups[group].is_cut and not held._groups[group].ended
    now_s = 61.0
    held.tick()
    assert not held._groups


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    (tmp_path / "config.toml").touch()
    monkeypatch.setenv("ASRCTL_CONFIG", str(tmp_path / "config.toml"))
    yield


def test_the_command(shared: Running, group: str, no_settings: None, tmp_path: Path) -> None:
    """`--subscribe` writes a transcript with speakers, in the format that the file's name says."""
    with talker(shared, group, "Ann", 1, 2) as ann:
        ann.finish()
    path = tmp_path / "said.txt"
    assert run("transcribe", "--server", shared.url, "--subscribe", group, "-o", str(path)) == 0
    assert path.read_text() == "Ann: w1\nAnn: w2\n"


def test_the_command_corrects_speakers(
    telling: Running, group: str, no_settings: None, tmp_path: Path
) -> None:
    """By what was known at the end; each session has speakers of its own."""
    with (
        Talker(telling.url, spoken(1, 2), group=group, speakers=True) as one,
        Talker(telling.url, spoken(3), group=group, speakers=True) as other,
    ):
        for each in (one, other):
            until_labelled(each)
            each.finish()
    path = tmp_path / "said.txt"
    assert run("transcribe", "--server", telling.url, "--subscribe", group, "-o", str(path)) == 0
    said = {"Speaker 2: w1", "Speaker 2: w2", "Speaker 2 (2): w3"}
    assert {*path.read_text().splitlines()} == said


def test_the_command_parts_utterances(
    no_settings: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the speaker changes; what comes after a label that may change keeps its place."""
    words = [{"start_s": n, "end_s": n + 1, "text": f"w{n}", "confidence": 1, "speaker": "A"} for n in (2, 3)]
    plain = {"type": "final", "session_id": "s", "utterance": 1, "confidence": 1, "speaker": "Ann"}
    told = {**plain, "session_id": "t", "start_s": 2, "end_s": 4, "text": "w2 w3", "by_voice": True}
    events = [
        {**plain, "start_s": 1, "end_s": 2, "text": "w1"},
        {**told, "speaker": "A", "words": words},
        {**plain, "utterance": 2, "start_s": 5, "end_s": 6, "text": "w5"},
        {"type": "speaker", "session_id": "t", "utterance": 1, "speaker": "A", "words": ["A", "B"]},
        {"type": "speaker", "session_id": "t", "utterance": 7, "speaker": "A"},
    ]
    monkeypatch.setattr(subscribe, "group_events", lambda *_: iter(events))
    path = tmp_path / "said.txt"
    assert run("transcribe", "--server", "ws://localhost", "--subscribe", "g", "-o", str(path)) == 0
    assert path.read_text() == "Ann: w1\nA: w2\nB: w3\nAnn: w5\n"


def test_a_server_that_is_not_there(no_settings: None, capsys: pytest.CaptureFixture[str]) -> None:
    """One line, and the code for it; without an address nothing is tried."""
    assert (
        run("transcribe", "--server", "ws://127.0.0.1:1", "--subscribe", "g", "--wait-for-server", "0.1") == 5
    )
    assert "http://127.0.0.1:1/v1/groups/g/events: " in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UsageError, match="needs the address of a server"):
        events_url(None, "g")


def test_speakers_of_a_file_at_a_server(
    shared: Running, group: str, no_settings: None, tmp_path: Path
) -> None:
    """`--speaker` and `--group` go to the server, and the name is in what is written here."""
    from .files.requests import HELLO

    (tmp_path / "talk.wav").write_bytes(HELLO)
    path = tmp_path / "said.json"
    chosen = ["--server", shared.url, "--group", group, "--speaker", "Ben", "-o", str(path)]
    assert run("transcribe", str(tmp_path / "talk.wav"), *chosen) == 0
    assert json.loads(path.read_text())["speakers"] == ["Ben"]
    assert {speaker for speaker, _ in Subscriber(shared, group).said()} == {"Ben"}
    assert run("transcribe", "a.wav", "--group", "g") == 2
