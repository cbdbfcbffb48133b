"""Everything asrctl raises on purpose, and the exit code each one becomes.

    AsrctlError                     1
    ├── UsageError                  2   options that contradict each other, a bad key, a missing package
    ├── AudioError                  1   an input that cannot be read; other inputs go on
    ├── OutputError                 1   a transcript that cannot be written; other inputs go on
    ├── ModelError                  3   no such model, or weights that do not verify
    ├── ProviderError               4   a recogniser that cannot run here
    │   ├── WorkerCrashed           4   native code died; the audio is still held
    │   ├── WorkerTimeout           4   a decode passed its deadline and was killed
    │   ├── DecodeError             4   the recogniser refused this audio, and said so
    │   ├── StreamRefused           4   a server that will not do what a stream asks for
    │   └── NothingTranscribed      4   all speech of an input was lost; other inputs go on
    ├── QueueFull                   1   as many decodes wait as may
    ├── Superseded                  1   a decode made way for a more urgent one
    └── ServerError                 5   a server that cannot be reached, or was given up on

Messages are one line that says what is wrong and, where there is something to be done, what to do.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_INTERRUPTED = 130
INTERRUPTED = "asrctl: interrupted"
"""What is said where there is no account to give yet."""


class AsrctlError(Exception):
    """Base of the tree; `exit_code` is what the command line exits with."""

    exit_code: ClassVar[int] = 1


class UsageError(AsrctlError):
    """Options or settings that make no sense together, or need a package that is not installed."""

    exit_code = 2


class AudioError(AsrctlError):
    """An input that is missing, unreadable, empty or not audio."""


class OutputError(AsrctlError):
    """A file of one input that cannot be written; the place of others may be all right."""


class ModelError(AsrctlError):
    """No such model, or weights that do not verify or load."""

    exit_code = 3


class ProviderError(AsrctlError):
    """A recogniser that is not installed, does not start, or keeps failing."""

    exit_code = 4


class WorkerCrashed(ProviderError):
    """A worker process died while it held a job."""


class WorkerTimeout(ProviderError):
    """A worker process passed its deadline and was killed."""


class DecodeError(ProviderError):
    """The recogniser reported a failure for this audio; the worker lives on."""


class StreamRefused(ProviderError):
    """A server does not do what this stream asks for, and would say so again."""


class NothingTranscribed(ProviderError):
    """All speech of an input was lost; other inputs may fare better."""


class QueueFull(AsrctlError):
    """The queue holds as many finals as it may; the caller waits, or declares a drop."""


class Superseded(AsrctlError):
    """A decode for a partial made way for a newer one of the same utterance, or for a final."""


class ServerError(AsrctlError):
    """A server that cannot be reached, or that was given up on."""

    exit_code = 5
