"""`asrctl serve` with a detector that hears the words of the scripted provider, and workers that can be kept
from starting."""

from __future__ import annotations

import os
import sys

from asrctl.cli import serve
from asrctl.cli.main import main
from asrctl.workers import standby
from tests.streaming.speech import LevelDetector

_START = 'case $(cat "$BENCH_STARTS") in refuse) exit 1;; slow) sleep 3;; esac; exec "$@"'

if __name__ == "__main__":
    serve._detectors = LevelDetector
    if "BENCH_STARTS" in os.environ:
        standby.COMMAND[:] = ["sh", "-c", _START, "sh", *standby.COMMAND]
    main(sys.argv[1:])
