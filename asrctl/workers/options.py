"""How a pool behaves, and the states of its slots."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from asrctl.errors import ModelError
from asrctl.providers.base import DecodeOptions
from asrctl.transcript import Hypothesis, Samples


class SlotState(StrEnum):
    """Life of a slot: only a `READY` one takes jobs."""

    LOADING = "loading"
    WARMING = "warming"
    READY = "ready"
    FAILED = "failed"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, eq=False)
class HealthCheck:
    """Audio whose words are known; a worker is ready only once it has found them.

    Attributes:
        samples: Shape (n,), mono float32 at 16 kHz.
        words: Lower-case words that must all be in the text.
        options: How the jobs to come will be decoded, so that the same graphs are built.
        long_samples: A long window to decode too before the worker is ready, so that even the first long
            utterance finds everything built; None leaves that to the first one.
    """

    samples: Samples
    words: frozenset[str]
    options: DecodeOptions
    long_samples: Samples | None = None

    def judge(self, weights: Path, hypothesis: Hypothesis) -> None:
        """Raises ModelError if words are missing in what was made of the samples."""
        heard = {word.strip(".,!?").casefold() for word in hypothesis.text.split()}
        if not self.words <= heard:
            raise ModelError(f"{weights}: it does not understand its test speech ({hypothesis.text!r})")


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """How a pool behaves.

    Attributes:
        workers: Processes, each with one loaded model.
        queue_limit: Most jobs that may wait, but for those of files.
        starvation_s: A job that waited this long counts as one of the highest class.
        file_turn_s: While live audio keeps the workers busy, one window of a file is decoded this often.
        load_deadline_s: Longest a model may take to load.
        job_deadline_s: Longest a decode may take, plus `deadline_factor` times the audio's duration; its
            first attempt is given up sooner where it takes many times as long as decodes have so far. Jobs
            wait as long, but not over 5 s, for a model that was ready and cannot be loaded again now.
        deadline_factor: See above; generous, since a deadline is there to catch hangs.
        attempts: How often a load or a job is tried before it fails over or fails.
        retry_s: A worker that cannot be loaded is tried again after so long, then ever more rarely.
        health: What a worker must decode before it is ready; None to trust the load.
    """

    workers: int = 1
    queue_limit: int = 64
    starvation_s: float = 10.0
    file_turn_s: float = 15.0
    load_deadline_s: float = 120.0
    job_deadline_s: float = 30.0
    deadline_factor: float = 10.0
    attempts: int = 3
    retry_s: float = 5.0
    health: HealthCheck | None = None
