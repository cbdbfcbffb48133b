"""The realtime dialects without a socket: every order of audio, messages and cuts that can be."""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asrctl.audio.pcm import s16le_of
from asrctl.errors import DecodeError
from asrctl.network.failures import LinkFailure
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import Completed, Failed, Heard, Spoken
from asrctl.providers.remote import detection
from asrctl.providers.remote.backlog import Backlog
from asrctl.providers.remote.conversation import Conversation
from asrctl.providers.remote.dialect import Dialect, Piece, Said
from asrctl.providers.remote.pcm import Resampler
from asrctl.providers.remote.settings import RemoteSettings
from asrctl_tests.scripted import speak

from .brains import (
    Brain,
    DeepgramBrain,
    OpenAiBrain,
    OwnTurnsBrain,
    VllmBrain,
    WyomingBrain,
    words_in,
)

BRAINS: dict[str, Callable[[], Brain]] = {
    "openai": OpenAiBrain,
    "openai at 16 kHz": partial(OpenAiBrain, 16_000),
    "openai, early deltas": partial(OpenAiBrain, early=True),
    "openai, backwards": partial(OpenAiBrain, early=True, backwards=True, lazy=2),
    "openai, ends utterances": OwnTurnsBrain,
    "vllm": VllmBrain,
    "deepgram": DeepgramBrain,
    "wyoming": WyomingBrain,
    "wyoming, without chunks": partial(WyomingBrain, chunks=False),
}
URLS = {"deepgram": "ws://h/v1/listen", "wyoming": "wyoming://h"}
"""Where a dialect is not left open in any other way."""


def dialect_for(name: Any, decode: DecodeOptions | None = None, url: str = "") -> Dialect:
    settings = RemoteSettings(url or URLS.get(name, "ws://h"), name, "words")
    return detection.dialect_for(settings, decode or DecodeOptions())


class World:
    """A caller, a client, a wire and a server, all of which take turns."""

    def __init__(self, brain: Callable[[], Brain], dialect: str, url: str = "") -> None:
        self.spoken: list[Spoken] = []
        self.backlog = Backlog(60.0, "en", self.spoken.append)
        self._new_brain = brain
        self._dialect, self._url = dialect, url
        self.connect()

    def connect(self) -> None:
        """A new socket; what was on the wire is gone."""
        self.client = Conversation(dialect_for(self._dialect, url=self._url), self.backlog)
        self.server = self._new_brain()
        self.up: deque[str | bytes] = deque()
        self.down: deque[str] = deque(json.dumps(event) for event in self.server.hello())

    def turn(self, what: str) -> bool:
        """Do one thing; whether there was something to do."""
        if what == "send" and (messages := self.client.outgoing()):
            self.up.extend(messages)
        elif what == "serve" and self.up:
            message = self.up.popleft()
            answers = self.server.receive(json.loads(message) if isinstance(message, str) else message)
            self.down.extend(json.dumps(event) for event in answers)
        elif what == "receive" and self.down:
            self.client.receive(self.down.popleft())
        else:
            return False
        return True

    def settle(self) -> None:
        """Until nothing is left to be done."""
        while any([self.turn("send"), self.turn("serve"), self.turn("receive"), self.hurry()]):
            pass

    def hurry(self) -> bool:
        """A server that waits for more waits no longer."""
        events = self.server.hurry() if isinstance(self.server, OpenAiBrain) else []
        self.down.extend(json.dumps(event) for event in events)
        return bool(events)


UTTERANCES = st.lists(st.lists(st.integers(0, 40), max_size=3), min_size=1, max_size=4)
TURN_NAMES = ["feed", "send", "send", "serve", "serve", "receive", "receive", "cut"]
TURNS = st.lists(st.sampled_from(TURN_NAMES), max_size=80)


@pytest.mark.parametrize("name", list(BRAINS))
@given(utterances=UTTERANCES, turns=TURNS, chunk=st.sampled_from([1_700, 3_193]), guessed=st.booleans())
def test_every_order_gives_each_word_once(
    name: str, utterances: list[list[int]], turns: list[str], chunk: int, guessed: bool
) -> None:
    """However audio, messages, answers and cuts interleave: each text once, and partials only grow to it."""
    dialect = name.split()[0].strip(",")
    world = World(BRAINS[name], "auto" if guessed else dialect, URLS.get(dialect, ""))
    steps: deque[Callable[[], object]] = deque()
    for numbers in utterances:
        pcm = s16le_of(speak(numbers))
        for at in range(0, len(pcm), 2 * chunk):
            steps.append(partial(world.backlog.feed, pcm[at : at + 2 * chunk]))
        steps.append(world.backlog.end)
    for what in turns:
        if what == "cut":
            world.connect()
        elif what != "feed":
            world.turn(what)
        elif steps:
            steps.popleft()()
    while steps:
        steps.popleft()()
    world.settle()
    expected = [" ".join(f"w{number}" for number in numbers) for numbers in utterances]
    assert texts(world.spoken) == expected
    for number, text in enumerate(expected):
        heard = [each for each in world.spoken if isinstance(each, Heard) and each.utterance == number]
        stable = [each.stable for each in heard]
        assert stable == sorted(stable, key=len)
        assert all(text.split()[: len(words)] == list(words) for words in stable)
        assert all(0 < each.samples <= len(text.split()) * 3_200 for each in heard)


def texts(spoken: list[Spoken]) -> list[str]:
    completed = {each.utterance: each.hypothesis.text for each in spoken if isinstance(each, Completed)}
    assert len(completed) == sum(isinstance(each, Completed) for each in spoken)
    return [completed[number] for number in sorted(completed)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
KINDS = (
    "session.created",
    "session.updated",
    "input_audio_buffer.committed",
    "conversation.item.input_audio_transcription.delta",
    "conversation.item.input_audio_transcription.completed",
    "conversation.item.input_audio_transcription.failed",
    "transcription.delta",
    "transcription.done",
    "info",
    "transcript",
    "transcript-chunk",
    "Results",
    "Error",
    "error",
    "something.else",
)
FIELDS = (
    *("session", "item_id", "delta", "transcript", "text", "error", "code", "id"),
    *("asr", "channel", "is_final", "from_finalize", "description"),
)
ERRORS = st.dictionaries(st.sampled_from(["code", "type", "message", "event_id"]), JSON, max_size=4)
CHANNELS = st.builds(lambda text: {"alternatives": [{"transcript": text}]}, JSON)
VALUES = JSON | ERRORS | CHANNELS | st.sampled_from(["item_0", "item_1"])
EVENTS = st.builds(
    lambda kind, fields: json.dumps({"type": kind, **fields}),
    st.sampled_from(KINDS),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4),
)


@given(
    dialect=st.sampled_from(["auto", "openai", "vllm", "deepgram", "wyoming"]),
    messages=st.lists(EVENTS | st.text(), max_size=8),
)
def test_no_message_is_a_surprise(dialect: str, messages: list[str]) -> None:
    """Whatever a server sends is understood, ignored, or the end of the link; it is never another error."""
    backlog = Backlog(60.0, "en", lambda spoken: None)
    client = Conversation(dialect_for(dialect), backlog)
    backlog.feed(s16le_of(speak([1])))
    backlog.end()
    for message in messages:
        try:
            client.receive(message)
            while client.outgoing():
                pass
        except LinkFailure:
            return


def started(name: str) -> tuple[Dialect, list[str]]:
    """A dialect that takes audio, and what it said to get there."""
    dialect, brain, said = dialect_for(name), BRAINS[name](), []
    waiting: deque[dict[str, Any]] = deque(brain.hello())
    while waiting:
        for news in dialect.receive(waiting.popleft()):
            if text := getattr(news, "message", None):
                said.append(text)
                waiting.extend(brain.receive(json.loads(text)))
    assert dialect.takes_audio
    return dialect, said


def test_openai_says_what_the_dialect_wants() -> None:
    """The exact messages of a short utterance, which is filled up to the shortest that may be committed."""
    dialect, said = started("openai")
    (update,) = map(json.loads, said)
    assert update["session"]["audio"]["input"] == {
        "format": {"type": "audio/pcm", "rate": 24_000},
        "transcription": {"model": "words", "language": "en"},
        "turn_detection": None,
    }
    messages = [json.loads(each) for each in [*dialect.audio(bytes(320)), *dialect.end()]]
    *appends, commit = messages
    assert {each["type"] for each in appends} == {"input_audio_buffer.append"}
    assert commit == {"type": "input_audio_buffer.commit", "event_id": "commit-0"}
    sent = sum(len(each["audio"]) * 3 // 4 - each["audio"].count("=") for each in appends)
    assert sent == 2 * 2_400


def test_vllm_says_what_the_dialect_wants() -> None:
    """The model at the top level; a commit starts, and a final one ends; in between nothing else is sent."""
    dialect, said = started("vllm")
    assert [json.loads(each) for each in said] == [{"type": "session.update", "model": "words"}]
    messages = [*dialect.audio(bytes(320)), *dialect.audio(bytes(320)), *dialect.end()]
    kinds = [(each["type"].split(".")[-1], each.get("final")) for each in map(json.loads, messages)]
    assert kinds == [("append", None), ("commit", None), ("append", None), ("commit", True)]
    assert not dialect.takes_audio
    dialect.receive({"type": "transcription.done", "text": ""})
    assert dialect.takes_audio


def test_vllm_that_stops_early_is_asked_for_the_rest() -> None:
    """A generation that ends before it was told to is continued by another; their texts are one."""
    dialect, _ = started("vllm")
    dialect.audio(bytes(320))
    dialect.receive({"type": "transcription.delta", "delta": " half"})
    assert not any(
        isinstance(each, Said) for each in dialect.receive({"type": "transcription.done", "text": "half"})
    )
    kinds = [json.loads(each)["type"].split(".")[-1] for each in dialect.audio(bytes(320))]
    assert kinds == ["append", "commit"]
    dialect.end()
    assert dialect.receive({"type": "transcription.done", "text": " and half"}) == [Said(0, "half and half")]
    assert dialect.takes_audio


def test_vllm_that_stops_early_at_the_very_end_is_asked_for_nothing() -> None:
    """The end of the utterance is told with a little silence, for a generation must hear something."""
    dialect, _ = started("vllm")
    dialect.audio(bytes(320))
    dialect.receive({"type": "transcription.done", "text": "all"})
    kinds = [
        (json.loads(each)["type"].split(".")[-1], json.loads(each).get("final")) for each in dialect.end()
    ]
    assert kinds == [("append", None), ("commit", None), ("commit", True)]
    assert dialect.receive({"type": "transcription.done", "text": ""}) == [Said(0, "all")]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("openai", "conversation.item.input_audio_transcription.delta"), ("vllm", "transcription.delta")],
)
def test_a_delta_may_be_missing(name: str, kind: str) -> None:
    """OpenAI's own definitions have it as optional: it says nothing then."""
    dialect, _ = started(name)
    dialect.audio(bytes(320))
    assert dialect.receive({"type": kind, "item_id": "item_0"}) == [Piece(0, "")]


def test_a_session_of_transcription_in_the_older_form() -> None:
    """It is updated by its own event, with the format and without turn detection."""
    dialect = dialect_for("auto", DecodeOptions(language="auto"))
    created = {"type": "transcription_session.created", "session": {"input_audio_format": "pcm16"}}
    (send,) = dialect.receive(created)
    assert json.loads(getattr(send, "message", "")) == {
        "type": "transcription_session.update",
        "event_id": "update",
        "session": {
            "input_audio_transcription": {"model": "words"},
            "input_audio_format": "pcm16",
            "turn_detection": None,
        },
    }
    dialect.receive(created | {"type": "transcription_session.updated"})
    assert dialect.takes_audio


def test_a_text_that_comes_twice_counts_once() -> None:
    """What a server repeats of an utterance that is over is not said again, nor taken for another's."""
    world = World(OpenAiBrain, "openai")
    for number in (1, 2):
        world.backlog.feed(s16le_of(speak([number])))
        world.backlog.end()
        world.settle()
        said = len(world.spoken)
        kind = "conversation.item.input_audio_transcription"
        for event in (
            {"type": f"{kind}.completed", "item_id": "item_0", "transcript": "again"},
            {"type": f"{kind}.delta", "item_id": "item_0", "delta": "late"},
        ):
            world.client.receive(json.dumps(event))
        assert len(world.spoken) == said and not world.client.owed
    assert texts(world.spoken) == ["w1", "w2"]


@pytest.mark.parametrize("rate_hz", [16_000, 24_000])
@given(cuts=st.lists(st.integers(0, 3_200), max_size=6))
@settings(max_examples=30)
def test_resampling_does_not_show_its_cuts(rate_hz: int, cuts: list[int]) -> None:
    """An utterance sounds the same however it was cut, keeps its length, and its words are still there."""
    pcm = s16le_of(speak([5, 6]))
    edges = sorted({0, len(pcm) // 2, *(cut % (len(pcm) // 2) for cut in cuts)})
    whole, pieces = Resampler(rate_hz), Resampler(rate_hz)
    expected = whole.feed(pcm) + whole.flush()
    got = b"".join(pieces.feed(pcm[2 * start : 2 * end]) for start, end in itertools.pairwise(edges))
    assert got + pieces.flush() == expected
    assert len(expected) == len(pcm) * rate_hz // 16_000
    assert words_in(expected, rate_hz) == ["w5", "w6"]


def test_text_without_end_costs_its_utterance() -> None:
    """A server that speaks on and on is not believed; the others are not concerned."""
    world = World(VllmBrain, "vllm")
    world.settle()
    world.backlog.feed(s16le_of(speak([1])))
    world.turn("send")
    with pytest.raises(LinkFailure, match="too long"):
        world.client.receive(json.dumps({"type": "transcription.delta", "delta": "x" * 200_000}))
    world.backlog.end()
    world.connect()
    world.backlog.feed(s16le_of(speak([2])))
    world.backlog.end()
    world.settle()
    assert texts(world.spoken) == ["w2"]
    (failed,) = [each for each in world.spoken if isinstance(each, Failed)]
    assert failed.utterance == 0 and isinstance(failed.error, DecodeError)
