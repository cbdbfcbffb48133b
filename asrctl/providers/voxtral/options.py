"""What there is to say about running voxtral."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from asrctl.errors import ProviderError, UsageError
from asrctl.policy.backoff import BackoffOptions
from asrctl.providers.voxtral.locate import how_to_get, locate


@dataclass(frozen=True, slots=True)
class VoxtralOptions:
    """Where voxtral is, and how long it may take.

    Attributes:
        binary: The program.
        model_dir: The directory with its weights.
        interval_s: Audio that it gathers before it looks at it; less than 0.5 s costs more than it gives.
        spares: Processes that are loaded and wait for a stream. On a GPU each holds its own 8.4 GB.
        max_streams: Streams at once.
        load_timeout_s: From the start of a process until it has decoded something.
        stall_timeout_s: How long a process may take nothing of the audio that lies before it.
        max_waiting_s: Audio of one stream that may wait for its process.
        restarts: Failures in a row after which no process is started any more, and the waits between them.

    Raises:
        UsageError: A value that makes no sense.
    """

    binary: Path
    model_dir: Path
    interval_s: float = 0.5
    spares: int = 1
    max_streams: int = 4
    load_timeout_s: float = 120.0
    stall_timeout_s: float = 15.0
    max_waiting_s: float = 120.0
    restarts: BackoffOptions = field(default_factory=lambda: BackoffOptions(max_attempts=5))

    def __post_init__(self) -> None:
        """Validate once, at the edge."""
        if not 0.05 <= self.interval_s <= 10.0:
            raise UsageError("voxtral: interval_s must be from 0.05 to 10")
        if self.spares < 1 or self.max_streams < 1:
            raise UsageError("voxtral: spares and max_streams must be at least 1")
        if min(self.load_timeout_s, self.stall_timeout_s, self.max_waiting_s) <= 0:
            raise UsageError("voxtral: times must be positive")

    @classmethod
    def found(
        cls,
        models_dir: Path,
        *,
        binary: Path | None = None,
        weights: Path | None = None,
        interval_s: float = 0.5,
        spares: int = 1,
    ) -> Self:
        """Options with the program and weights that `locate` finds.

        Args:
            models_dir: Where models are kept.
            binary: The program, if it is not to be looked for.
            weights: The directory with the weights, if it is not to be looked for.
            interval_s: See the class.
            spares: See the class.

        Raises:
            ProviderError: One of them is nowhere; says how to get it.
        """
        located = locate([models_dir], binary, weights)
        if located.binary is None:
            raise ProviderError("voxtral is not on PATH: build voxtral.c and say where it is")
        if located.weights is None:
            how = f"get them (8.9 GB) with `{how_to_get(models_dir)}`"
            raise ProviderError(f"voxtral's weights were not found: {how}")
        return cls(located.binary, located.weights, interval_s, spares)

    def command(self, *, monitored: bool) -> list[str]:
        """The command line of a process.

        Args:
            monitored: Have it mark its decoder's restarts on stderr.
        """
        command = [str(self.binary), "-d", str(self.model_dir), "--stdin"]
        return [*command, "-I", f"{self.interval_s:g}", "--silent", *(["--monitor"] if monitored else [])]
