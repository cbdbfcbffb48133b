"""What can be set about voxtral."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from asrctl.providers.plugin import number


@dataclass(frozen=True, slots=True)
class VoxtralSettings:
    """The provider voxtral; times in seconds.

    Attributes:
        binary: Its program; None looks for `voxtral` on PATH.
        model_dir: The directory with its weights; None looks where models are kept.
        interval_s: Audio that it gathers before it looks at it; less than 0.5 s costs more than it gives.
        spares: Processes that are loaded ahead of need. On a GPU each holds its own 8.4 GB.
        max_streams: Streams at once, each with a process of its own.
        load_timeout_s: From the start of a process until it has decoded something.
        stall_timeout_s: How long a process may take nothing of the audio that lies before it.
        max_waiting_s: Audio of one stream that may wait for its process.
    """

    binary: Path | None = None
    model_dir: Path | None = None
    interval_s: float = number(0.5, 0.05, 10.0)
    spares: int = number(1, 1, 16)
    max_streams: int = number(4, 1, 1000)
    load_timeout_s: float = number(120.0, 0.1, 3600.0)
    stall_timeout_s: float = number(15.0, 0.1, 3600.0)
    max_waiting_s: float = number(120.0, 1.0, 3600.0)

    def command(self, program: Path, weights: Path, *, monitored: bool) -> list[str]:
        """The command line of a process.

        Args:
            program: What is run.
            weights: The directory with its weights.
            monitored: Have it mark its decoder's restarts on stderr.
        """
        command = [str(program), "-d", str(weights), "--stdin", "-I", f"{self.interval_s:g}", "--silent"]
        return [*command, "--monitor"] if monitored else command
