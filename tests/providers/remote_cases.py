"""What tests of realtime servers share: a server of each dialect, its errors, and how a stream is lost."""

from __future__ import annotations

import json
from functools import partial

import pytest

from .brains import OpenAiBrain, OwnTurnsBrain, VllmBrain
from .ears import Stream
from .remote_server import Fault, RealtimeServer

BRAINS = {
    "openai": OpenAiBrain,
    "openai at 16 kHz": partial(OpenAiBrain, 16_000),
    "openai, early deltas": partial(OpenAiBrain, early=True),
    "openai, backwards": partial(OpenAiBrain, backwards=True, lazy=3),
    "openai, ends utterances": OwnTurnsBrain,
    "vllm": VllmBrain,
}
every_brain = pytest.mark.parametrize("name", list(BRAINS))
both = pytest.mark.parametrize("name", ["openai", "vllm"])
ERROR = {"type": "server_error", "code": None, "message": "something broke"}
NOWHERE = "ws://127.0.0.1:9"


def server(name: str, *faults: Fault | None) -> RealtimeServer:
    """A server of this dialect, with a fault for each connection."""
    return RealtimeServer(BRAINS[name], faults)


def dialect_of(name: str) -> str:
    """The setting for a server of this name."""
    return name.split()[0].strip(",")


def error_event(name: str, message: str = "something broke", **more: str) -> str:
    """An error as the dialect has it."""
    if name == "vllm":
        return json.dumps({"type": "error", "error": message, "code": more.get("code", "engine")})
    return json.dumps({"type": "error", "error": ERROR | {"message": message} | more})


async def lost(stream: Stream) -> str:
    """Why a stream was lost."""
    return str((await stream.ear.wait_lost()).error)
