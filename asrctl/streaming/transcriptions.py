"""The transcription that suits a recording (of one signal, by voice, or of tracks), and what it gave."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from asrctl.audio.tracks import Tracks
from asrctl.errors import NothingTranscribed
from asrctl.streaming.files import FileOptions, FileTranscription
from asrctl.streaming.source import Reader
from asrctl.streaming.tracks import TracksTranscription, Transcription
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount, Segment, Timing, Transcript

if TYPE_CHECKING:
    from asrctl.audio.files import OpenAudio
    from asrctl.providers.recognizer import WindowDecoder
    from asrctl.speakers.process import SpeakersProcess
    from asrctl.streaming.fallback import Fallback
    from asrctl.streaming.stream import SpeechDetector


def transcription_of(
    audio: OpenAudio | Tracks,
    decoder: WindowDecoder,
    detector: Callable[[], SpeechDetector],
    options: FileOptions,
    process: SpeakersProcess | None,
    *,
    echo: bool,
) -> Transcription:
    """Prepare it; nothing is read before its segments are asked for.

    Args:
        audio: An open input.
        decoder: Where windows are decoded.
        detector: Makes what finds speech, afresh for each track.
        options: How to cut and decode.
        process: Tells speakers apart by voice; None if nobody does. Those on tracks are known.
        echo: Whether one track may be heard in another.
    """
    if isinstance(audio, Tracks):
        with_words = replace(options, decode=replace(options.decode, word_timestamps=True))
        return TracksTranscription(
            Reader(audio),
            audio.speakers,
            lambda track, gate: FileTranscription(track, decoder, gate(detector()), with_words, audio.name),
            words=options.decode.word_timestamps,
            echo=echo,
        )
    if process is None:
        return FileTranscription(Reader(audio), decoder, detector(), options, audio.name)
    from asrctl.streaming.speakers import SpeakersTranscription

    return SpeakersTranscription(Reader(audio), process, decoder, detector(), options, audio.name)


def refuse_nothing(name: str, account: AudioAccount, lost: Sequence[str], *, words: bool) -> None:
    """See that something was made of what was spoken.

    Args:
        name: What the recording is called.
        account: Where the input went.
        lost: What could not be decoded, one line each.
        words: Whether there are any.

    Raises:
        NothingTranscribed: Nothing was.
    """
    if lost and not words and not account.speech_samples:
        _, _, reason = lost[0].partition(" s: ")
        raise NothingTranscribed(f"{name}: nothing could be transcribed: {reason}")


def refuse_failed(name: str, work: Transcription, *, words: bool) -> None:
    """See that a transcription, at its end, gave what was asked for.

    Raises:
        NothingTranscribed: All speech was lost.
        AudioError: Speakers could not be told apart.
    """
    refuse_nothing(name, work.account, work.lost, words=words)
    if work.unlabelled is not None:
        raise work.unlabelled


def transcript_of(
    name: str,
    work: Transcription,
    segments: Sequence[Segment],
    recognizer: Fallback,
    language: str,
    wall_s: float,
) -> Transcript:
    """What a transcription gave; audio that was read and is not transcribed counts as dropped.

    Args:
        name: What the recording is called.
        work: The transcription, at its end.
        segments: Its segments.
        recognizer: What decoded.
        language: What was asked for; taken where none was heard.
        wall_s: How long it took.
    """
    at_work = work.providers or [recognizer.name]
    models = dict.fromkeys(recognizer.members[provider].model for provider in at_work)
    return Transcript(
        source=name,
        model=", ".join(models),
        provider=", ".join(at_work),
        language=work.language or language,
        duration_s=work.length_samples / SAMPLE_RATE_HZ,
        segments=tuple(segments),
        audio=work.account.closed(),
        timing=Timing(recognizer.load_s, work.inference_s, wall_s),
        tracks=work.tracks,
    )
