"""What is said to a voxtral process and what its answers mean; no pipes and no clock of its own.

It cannot be asked whether it is done with an utterance, but it reads a block, decodes it, prints, and reads
again. So the utterance is followed by silence up to the end of a block; when all of that
has left the pipe, one more sample is written, the guard. It can only be taken by somebody who asks for the
next block, having printed all that was in those before, however far ahead its C library reads. The guard
stays where it is, at the beginning of that next block: a sixteenth of a millisecond of silence.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from enum import Enum

from asrctl.errors import DecodeError, WorkerTimeout
from asrctl.providers.outbox import split_words
from asrctl.providers.recognizer import Completed, Failed, Heard, Spoken
from asrctl.providers.voxtral.blocks import (
    FIRST_STEPS,
    SAMPLE_BYTES,
    STEP_BYTES,
    TAIL_STEPS,
    block_end,
    duration_s,
    silence_bytes,
)
from asrctl.providers.voxtral.printed import Printed
from asrctl.providers.voxtral.settings import VoxtralSettings
from asrctl.providers.voxtral.status import RESTART_STEPS, Status
from asrctl.transcript import SAMPLE_RATE_HZ, Hypothesis, Segment

_MOST_ROUNDS = 6
_MOST_KEPT_BYTES = 60 * SAMPLE_RATE_HZ * SAMPLE_BYTES
_WARY_STEPS = 24
"""Silence after each utterance once a decoder was seen to restart late: at the beginning of the next."""

_DOUBTFUL = 0.5
"""Confidence of a text in which words may be missing."""

_BARRIER_POLL_S = 0.002
_WATCH_POLL_S = 0.25
_log = logging.getLogger(__name__)


class _Phase(Enum):
    LISTENING = "audio passes"
    DRAINING = "silence is on its way"
    GUARDED = "the guard is on its way"


class _Purpose(Enum):
    """What silence is for."""

    WARMING = "its first audio"
    ENDING = "the last block of an utterance"
    FINISHING = "the words it holds back"
    SETTLING = "a restart of its decoder"


class Dialogue:
    """With one process, which serves one stream."""

    def __init__(self, settings: VoxtralSettings, clock: Callable[[], float]) -> None:
        """Begin with the silence that makes the process load and decode for the first time."""
        self._settings = settings
        self._clock = clock
        self._printed = Printed()
        self.status = Status()
        self.ready = False
        """Whether it has loaded, decoded something, and can be spoken to."""
        self.completed = 0
        """Utterances done."""
        self._inbox: deque[bytes | None] = deque()
        self._inbox_bytes = 0
        self._outgoing: deque[memoryview] = deque()
        self._position_bytes = 0
        self._unwritten_bytes = 0
        self._taken_bytes = 0
        self._phase = _Phase.LISTENING
        self._purpose = _Purpose.WARMING
        self._progress_s = clock()
        self._begun_bytes = 0
        self._starts_seen = 0
        self._restarts_before = 0
        self._rounds = 0
        self._number = 0
        self._dropped: set[int] = set()
        self._utterance: list[bytes] = []
        self._utterance_bytes = 0
        self._start_bytes = 0
        self._end_bytes = 0
        self._asked_s = 0.0
        self._hurt = False
        self._repeated = False
        self._text_before = ""
        self._wary = False
        self._language = ""
        self._pad(_Purpose.WARMING, FIRST_STEPS)

    # What its task does

    def listen(self, language: str) -> None:
        """A stream begins, in that language."""
        self._language = language

    def feed(self, data: bytes | None) -> None:
        """Take the next audio of the utterance, or None for its end."""
        self._inbox.append(data)
        self._inbox_bytes += len(data or b"")

    def drop(self, utterance: int) -> None:
        """Nobody waits for this utterance: what was not passed on of it never is."""
        if utterance >= self._number:
            self._dropped.add(utterance)

    @property
    def utterance(self) -> int | None:
        """The number of the utterance that the process is busy with; None if it is idle."""
        return self._number if self._utterance_bytes or self._inbox else None

    @property
    def waiting_bytes(self) -> int:
        """What was fed and is not in the pipe yet, with the silence between."""
        return self._inbox_bytes + self._unwritten_bytes

    def outgoing(self) -> memoryview | None:
        """What to write next, if anything."""
        return self._outgoing[0] if self._outgoing else None

    def wrote(self, count: int) -> None:
        """So many bytes of `outgoing` are in the pipe."""
        rest = self._outgoing.popleft()[count:]
        self._unwritten_bytes -= count
        if rest:
            self._outgoing.appendleft(rest)

    def patience_s(self) -> float | None:
        """How long its task may wait for something to happen before `advance` must be called again."""
        if self._phase is not _Phase.LISTENING:
            return _BARRIER_POLL_S if self.ready else 10 * _BARRIER_POLL_S
        return _WATCH_POLL_S if self._busy else None

    def advance(self, unread_bytes: int, output: bytes, errors: bytes) -> list[Spoken]:
        """Go on after looking at the pipes.

        Args:
            unread_bytes: What lay unread in its input; looked at before the other two were read.
            output: What it printed.
            errors: What it printed to stderr.

        Raises:
            ProviderError: It prints rubbish.
            WorkerTimeout: It does nothing for too long.
        """
        self._watch(unread_bytes)
        self.status.take(errors)
        if self.status.starts != self._starts_seen:
            self._starts_seen, self._begun_bytes = self.status.starts, self._taken_bytes
        said: list[Spoken] = [*self._hear(output)]
        if self._phase is not _Phase.LISTENING and not unread_bytes and not self._unwritten_bytes:
            if self._phase is _Phase.DRAINING:
                self._queue(bytes(SAMPLE_BYTES))
                self._phase = _Phase.GUARDED
            else:
                said += self._reached()
        return said + self._pull()

    # Audio in

    def _pull(self) -> list[Spoken]:
        """Pass on what was fed, up to the end of the utterance; what comes after waits until that is done."""
        said: list[Spoken] = []
        while self.ready and self._phase is _Phase.LISTENING and self._inbox:
            data = self._inbox.popleft()
            if data is not None:
                self._inbox_bytes -= len(data)
                self._pass_on(data)
            elif self._utterance_bytes:
                self._asked_s = self._clock()
                self._end()
            else:
                said.append(Completed(self._number, Hypothesis((), self._language, 0.0)))
                self._next()
        return said

    def _pass_on(self, data: bytes) -> None:
        if not self._utterance_bytes:
            if self._number in self._dropped:
                return
            self._start_bytes = self._position_bytes
        self._keep(data)
        self._queue(data)

    def _keep(self, data: bytes) -> None:
        """Keep the utterance in case that it must be repeated; one too long for that is not kept."""
        self._utterance_bytes += len(data)
        if self._utterance_bytes <= _MOST_KEPT_BYTES:
            self._utterance.append(data)
        else:
            self._utterance.clear()

    def _end(self) -> None:
        """Fill up the utterance's last block, to see whether its decoder lived to the end of it."""
        self._end_bytes = self._position_bytes
        self._guard(_Purpose.ENDING, block_end(self._position_bytes) - self._position_bytes)

    def _finish(self) -> None:
        steps = TAIL_STEPS - (self._position_bytes - self._end_bytes) // STEP_BYTES
        self._pad(_Purpose.FINISHING, steps)

    def _pad(self, purpose: _Purpose, steps: int) -> None:
        self._guard(purpose, silence_bytes(self._position_bytes, steps, self._settings.interval_s))

    def _guard(self, purpose: _Purpose, size_bytes: int) -> None:
        """Write silence up to the end of a block, then the guard."""
        if size_bytes:
            self._queue(bytes(size_bytes))
        self._purpose, self._phase = purpose, _Phase.DRAINING

    def _queue(self, data: bytes) -> None:
        self._outgoing.append(memoryview(data))
        self._position_bytes += len(data)
        self._unwritten_bytes += len(data)

    # Text out

    def _hear(self, output: bytes) -> list[Heard]:
        """Text between utterances is made of silence: whatever it says, nobody said it."""
        piece = self._printed.take(output, self._taken_bytes // STEP_BYTES)
        settling = self._phase is not _Phase.LISTENING and self._purpose is _Purpose.SETTLING
        if not piece or not self._utterance_bytes or settling or self._repeated:
            return []
        heard_bytes = min(max(0, self._taken_bytes - self._start_bytes), self._utterance_bytes)
        return [Heard(self._number, *split_words(self._printed.text), heard_bytes // SAMPLE_BYTES)]

    def _reached(self) -> list[Spoken]:
        """The guard was taken: what the silence was for is done."""
        self._phase = _Phase.LISTENING
        self._rounds = self._rounds + 1 if self._purpose is _Purpose.SETTLING else 0
        if self._purpose is _Purpose.ENDING:
            self._hurt = self.status.restarts != self._restarts_before
            self._finish()
            return []
        said = self._finished() if self._purpose is _Purpose.FINISHING else []
        self._printed.finish()
        self._settle()
        return said

    def _finished(self) -> list[Spoken]:
        """All of the utterance was printed; it is repeated, once, if its decoder restarted meanwhile."""
        text = self._printed.finish()
        restarted = self.status.restarts != self._restarts_before
        hurt = self._hurt or (restarted and not text)
        if hurt:
            self._wary = True
            if self._utterance and not self._repeated and self._number not in self._dropped:
                self._repeated, self._text_before = True, text
                return []
            text = max(self._text_before, text, key=len)
        said = self._outcome(text, hurt=hurt and self._hurt)
        self.completed += 1
        self._next()
        return [said]

    def _outcome(self, text: str, *, hurt: bool) -> Spoken:
        """What the utterance said; where its decoder restarted again, without what it did not hear then."""
        if hurt and not text and not self._repeated:
            return Failed(self._number, DecodeError("voxtral's decoder restarted in the middle of it"))
        if hurt and text:
            _log.warning(
                "voxtral's decoder restarted in the middle of an utterance: up to %.1f s may be missing",
                duration_s(RESTART_STEPS * STEP_BYTES),
            )
        waited_s = self._clock() - self._asked_s
        length_s = duration_s(self._utterance_bytes)
        segments = (Segment(0.0, length_s, text, _DOUBTFUL if hurt else 1.0),) if text else ()
        return Completed(self._number, Hypothesis(segments, self._language, waited_s))

    def _next(self) -> None:
        """The next utterance's audio is passed on from now on."""
        self._utterance, self._utterance_bytes, self._repeated, self._text_before = [], 0, False, ""
        self._dropped.discard(self._number)
        self._number += 1

    def _settle(self) -> None:
        """Let its decoder restart now, if it must, and repeat an utterance in which it did so."""
        age_steps = (self._position_bytes - self._begun_bytes) // STEP_BYTES
        steps = self.status.silence_steps(age_steps)
        if self._wary and not self._rounds:
            steps = max(steps, _WARY_STEPS)
        if steps and self._rounds < _MOST_ROUNDS:
            self._pad(_Purpose.SETTLING, steps)
            return
        self.ready = True
        if self._utterance_bytes:
            for data in self._utterance:
                self._queue(data)
            self._end()
        self._restarts_before = self.status.restarts

    # Watching

    @property
    def _busy(self) -> bool:
        return self._taken_bytes < self._position_bytes

    def _watch(self, unread_bytes: int) -> None:
        taken_bytes = self._position_bytes - self._unwritten_bytes - unread_bytes
        now_s = self._clock()
        if taken_bytes != self._taken_bytes or not self._busy:
            self._taken_bytes, self._progress_s = taken_bytes, now_s
        elif now_s - self._progress_s > self._most_still_s:
            raise WorkerTimeout(f"voxtral has taken no audio for {self._most_still_s:g} s")

    @property
    def _most_still_s(self) -> float:
        return self._settings.stall_timeout_s if self.ready else self._settings.load_timeout_s
