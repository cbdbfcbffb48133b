"""What voxtral says on stderr: lines for people, and the marks of `--monitor`.

The marks tell what cannot be seen otherwise. When its decoder has said that the speech is over, it starts
afresh and takes the next 39 steps of audio, 3.1 s, as a prompt, of which it writes nothing down. When it has
written nothing for 64 steps, or kept 2,000 in memory, it forgets all, also the half second of audio that it
was about to write. Neither may happen while somebody speaks, so both are waited for, or brought about, in
the silence between utterances.
"""

from __future__ import annotations

import codecs
import re
from collections import deque

_STARTED = "·"
_WAITS_FOR_PROMPT = "✂"
_FORGOT_ALL = "♻"
_DECODED = "▪▸▫▹✗✘"
_WROTE_NOTHING_LATELY = "⚠☠"
_OTHERS = "▶⌛◦↺⟳↯⌚"
_MARKS = frozenset(_STARTED + _WAITS_FOR_PROMPT + _FORGOT_ALL + _DECODED + _WROTE_NOTHING_LATELY + _OTHERS)

RESTART_STEPS = 39
"""Audio that a restarted decoder takes as its prompt, and writes nothing of."""
_QUIET_STEPS = 64
_QUIET_SEEN_STEPS = 32
_OLD_STEPS = 1500
"""Of 2,000; the longest utterance (30 s) and its tail must still fit."""

_SPARE_STEPS = 4
_KEPT_CHARACTERS = 2000
"""Of its beginning, where an option is refused, and of its end, where it says why it dies."""
_QUOTED_CHARACTERS = 300
_OPTION_REFUSED = re.compile(
    r"^\s*usage\b|(unknown|unrecogni[sz]ed|invalid|illegal) (option|argument)", re.IGNORECASE | re.MULTILINE
)


class Status:
    """Follows stderr of one process."""

    def __init__(self) -> None:
        """Begin with nothing said."""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._beginning: list[str] = []
        self._lines: deque[str] = deque(maxlen=_KEPT_CHARACTERS)
        self._waits_for_prompt = False
        self._quiet = False
        self.starts = 0
        """How often its decoder began, with its memory empty."""
        self.restarts = 0
        """How often its decoder gave up what it had been doing."""

    def take(self, data: bytes) -> None:
        """Take what was printed."""
        for character in self._decoder.decode(data):
            if character not in _MARKS:
                self._lines.append(character)
                if len(self._beginning) < _KEPT_CHARACTERS:
                    self._beginning.append(character)
            elif character == _STARTED:
                self.starts += 1
                self._waits_for_prompt = False
            elif character in (_WAITS_FOR_PROMPT, _FORGOT_ALL):
                self.restarts += 1
                self._waits_for_prompt = character == _WAITS_FOR_PROMPT
                self._quiet = False
            elif character in _DECODED:
                self._quiet = False
            elif character in _WROTE_NOTHING_LATELY:
                self._quiet = True

    def silence_steps(self, age_steps: int) -> int:
        """How much silence it needs before it can be spoken to without losing a word; mostly none.

        Args:
            age_steps: Audio that it was given since it last began.
        """
        if not self.starts:  # it knows no marks, and does not restart either
            return 0
        if self._waits_for_prompt:
            return RESTART_STEPS + _SPARE_STEPS
        if self._quiet:
            return _QUIET_STEPS - _QUIET_SEEN_STEPS + _SPARE_STEPS
        return _QUIET_STEPS + _SPARE_STEPS if age_steps > _OLD_STEPS else 0

    def quote(self) -> str:
        """The end of what it told people, in one line; empty if it told nothing."""
        lines = [line.strip() for line in "".join(self._lines).splitlines()]
        return "; ".join(line for line in lines if line)[-_QUOTED_CHARACTERS:]

    @property
    def refused_option(self) -> bool:
        """Whether it complained about its options; its usage, which it prints then, may be long."""
        return _OPTION_REFUSED.search("".join(self._beginning)) is not None
