"""Streams over streaming providers under test, which say something when the test says so."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from asrctl.engine.lineup import Lineup, Member
from asrctl.engine.stream import Stream, StreamOptions
from asrctl.engine.utterance import Complete, Feed, HangUp, Output
from asrctl.engine.voices import OpenVoices
from asrctl.errors import ProviderError
from asrctl.policy.endpointing import FRAME_SAMPLES
from asrctl.providers.base import Completed, DecodeOptions, Heard, Lost, Spoken
from asrctl.providers.scripted import listen
from asrctl.transcript import Hypothesis, Segment
from tests.engine.streams import Rig
from tests.policy.clock import Clock


class GradedDetector:
    """Speech is what is not silent; the short pauses between words are less probable, no more."""

    def __init__(self) -> None:
        self._rest = np.zeros(0, np.float32)

    def probabilities(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        joined = np.concatenate((self._rest, samples))
        whole = len(joined) - len(joined) % FRAME_SAMPLES
        self._rest = joined[whole:]
        frames = np.abs(joined[:whole].reshape(-1, FRAME_SAMPLES))
        least, most = frames.min(axis=1), frames.max(axis=1)
        return np.where(most < 0.01, 0.0, np.where(least < 0.1, 0.5, 1.0)).astype(np.float32)

    def flush(self) -> NDArray[np.float32]:
        return self.probabilities(np.zeros(-len(self._rest) % FRAME_SAMPLES, np.float32))


class PuppetSession:
    """A streaming session that hears all, and says what it is made to say."""

    def __init__(self, say: Callable[[Spoken], None]) -> None:
        self.say = say
        self.closed = False
        self.ended: deque[NDArray[np.float32]] = deque()
        """Audio of the utterances that ended and are not completed."""
        self.open: list[NDArray[np.float32]] = []
        self.fed_samples = 0
        self._said = 0

    def feed(self, samples: NDArray[np.float32]) -> None:
        assert not self.closed and len(samples)
        self.open.append(samples)
        self.fed_samples += len(samples)

    def complete(self) -> None:
        assert not self.closed
        self.ended.append(np.concatenate(self.open) if self.open else np.zeros(0, np.float32))
        self.open = []

    def close(self) -> None:
        self.closed = True

    @property
    def audio(self) -> NDArray[np.float32]:
        """What it has of the utterance that is its turn."""
        if self.ended:
            return self.ended[0]
        return np.concatenate(self.open) if self.open else np.zeros(0, np.float32)

    def hear(self, letters: int = 1000) -> None:
        """Say the next piece of the words that came so far; the last may still be on its way."""
        text = "".join(f"{word.text} " for word in listen(self.audio)[: None if self.ended else -1])
        piece, self._said = text[self._said : self._said + letters], min(len(text), self._said + letters)
        if piece:
            self.say(Heard(piece))

    def finish(self) -> None:
        """Complete an utterance that has ended."""
        words = tuple(listen(self.ended.popleft()))
        self._said = 0
        segments: tuple[Segment, ...] = ()
        if words:
            text = " ".join(word.text for word in words)
            segments = (Segment(words[0].start_s, words[-1].end_s, text, 1.0, words),)
        self.say(Completed(Hypothesis(segments, "en", 0.0)))

    def lose(self, reason: str = "broken") -> None:
        """Be lost."""
        self.say(Lost(ProviderError(reason)))


class PuppetModel:
    """A streaming provider that opens a session, unless the test has given it a reason why not."""

    def __init__(self) -> None:
        self.refusal = ""
        self.sessions: list[PuppetSession] = []

    def open(self, options: DecodeOptions, say: Callable[[Spoken], None]) -> PuppetSession:
        if self.refusal:
            raise ProviderError(self.refusal)
        self.sessions.append(PuppetSession(say))
        return self.sessions[-1]

    def description(self) -> str:
        return "puppet"

    def close(self) -> None:
        pass

    @property
    def session(self) -> PuppetSession:
        """The one that is open."""
        (session,) = self.live
        return session

    @property
    def live(self) -> list[PuppetSession]:
        """Those that are open."""
        return [session for session in self.sessions if not session.closed]


class NobodysRecognizer:
    """Stands for windows in the lineup; the rig answers its decodes."""

    def submit(self, *_: object) -> None:
        raise AssertionError("the rig takes the decodes")

    abort = submit


@dataclass
class VoiceRig(Rig):
    """A rig whose stream has streaming providers too.

    Attributes:
        puppets: By name.
        voices: What the stream asks who is there.
        clock: By which providers rest.
        said: What sessions said and the stream has not heard yet.
    """

    puppets: dict[str, PuppetModel] = field(default_factory=dict)
    voices: OpenVoices = field(init=False)
    clock: Clock = field(default_factory=Clock)
    said: deque[tuple[int, Spoken]] = field(default_factory=deque)

    def take(self, outputs: Iterable[Output]) -> None:
        rest = []
        for output in outputs:
            if isinstance(output, Feed):
                self.voices.feed(output.voice, output.samples)
            elif isinstance(output, Complete):
                self.voices.complete(output.voice)
            elif isinstance(output, HangUp):
                self.voices.hang_up(output.voice)
            else:
                rest.append(output)
        super().take(rest)

    def listen_to_all(self) -> None:
        """Let the stream hear what was said."""
        while self.said:
            self.take(self.stream.hear(*self.said.popleft()))

    @property
    def live(self) -> list[PuppetSession]:
        """All open sessions."""
        return [session for puppet in self.puppets.values() for session in puppet.live]

    def answer_all(self) -> None:
        """Let everybody say everything, until nobody has anything more to say."""
        self.listen_to_all()
        while self.waiting or any(session.ended for session in self.live):
            for session in self.live:
                while session.ended and not session.closed:
                    session.hear()
                    session.finish()
                    self.listen_to_all()
            super().answer_all()

    def play(self, samples: NDArray[np.float32], chunk_samples: int = 800, *, answering: bool = True) -> None:
        for at in range(0, len(samples), chunk_samples):
            self.take(self.stream.feed(samples[at : at + chunk_samples]))
            if answering:
                for session in self.live:
                    session.hear(3)
                self.answer_all()

    def act_at_random(self, dice: random.Random, *, lose: bool = True) -> None:
        """Let one session say or do something."""
        if not self.live:
            return
        session = dice.choice(self.live)
        roll = dice.random()
        if roll < 0.5:
            session.hear(dice.randint(1, 9))
        elif roll < 0.9:
            if session.ended:
                session.finish()
        elif lose:
            session.lose(f"loss {dice.randrange(1000)}")
        if dice.random() < 0.8:
            self.listen_to_all()

    def play_at_random(self, samples: NDArray[np.float32], dice: random.Random) -> None:
        at = 0
        while at < len(samples):
            size = dice.choice((1, 160, 512, 800, 5000, 40_000))
            self.take(self.stream.feed(samples[at : at + size]))
            at += size
            while dice.random() < 0.6:
                self.act_at_random(dice)
                if self.waiting:
                    self.answer(dice.choice(list(self.waiting)))


def voice_rig(names: Iterable[str] = ("stream", "windows"), options: StreamOptions | None = None) -> VoiceRig:
    """A stream whose provider is called "windows" where it is windowed, and is a puppet where it is not."""
    rig = VoiceRig(Stream(GradedDetector(), options))
    members = []
    for name in names:
        if name == "windows":
            members.append(Member(name, NobodysRecognizer()))  # type: ignore[arg-type]
        else:
            rig.puppets[name] = PuppetModel()
            members.append(Member(name, None, rig.puppets[name]))
    lineup = Lineup(members, clock=rig.clock)
    rig.voices = OpenVoices(lineup, lambda voice, spoken: rig.said.append((voice, spoken)))
    rig.stream.placer = rig.voices
    return rig


__all__ = ["GradedDetector", "PuppetModel", "PuppetSession", "VoiceRig", "voice_rig"]
