"""Clients that no extra brings: their tests are collected only where they are installed."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = []
if find_spec("pipecat") is None or find_spec("livekit") is None:
    # pip install "pipecat-ai[openai]" livekit-plugins-openai: several hundred megabytes
    collect_ignore.append("test_realtime_frameworks.py")
