"""Clients that no extra brings: their tests are collected only where they are installed."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec

collect_ignore = []
if find_spec("pipecat") is None or find_spec("livekit") is None:
    # pip install "pipecat-ai[openai]" livekit-plugins-openai: several hundred megabytes
    collect_ignore.append("test_realtime_frameworks.py")
if not os.environ.get("ASRCTL_TEST_DEEPGRAM_JS") or shutil.which("node") is None:
    # the name of a folder in which `npm install @deepgram/sdk` was run
    collect_ignore.append("test_deepgram_javascript.py")
