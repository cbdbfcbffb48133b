"""`asrctl serve` with a detector that hears the words of the scripted provider."""

from __future__ import annotations

import sys

from asrctl.cli import serve
from asrctl.cli.main import main
from tests.plugins import install
from tests.streaming.speech import LevelDetector

if __name__ == "__main__":
    install()
    serve._detectors = LevelDetector
    main(sys.argv[1:])
