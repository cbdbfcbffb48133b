"""`asrctl` whose server takes the levels for speech that the provider `scripted` reads as words.

python -m benchmarks.level_server serve --provider scripted --model script.json
"""

from __future__ import annotations

from asrctl.__main__ import main
from asrctl.cli import serve
from tests import plugins
from tests.streaming.speech import LevelDetector

if __name__ == "__main__":
    plugins.install()
    serve._detectors = LevelDetector
    main()
