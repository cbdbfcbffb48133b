"""Starts a server so that its model loads while the rest of it is imported."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import TYPE_CHECKING

from asrctl.server.engine import Engine
from asrctl.server.options import ServeOptions
from asrctl.server.tls import HandshakeLoop

if TYPE_CHECKING:
    from asrctl.streaming.stream import SpeechDetector
    from asrctl.workers.standby import Standby

_HAND_OVER_S = 1.0
"""The model is asked for within a few milliseconds, unless the system is short of something."""


def run(
    options: ServeOptions,
    detector: Callable[[], SpeechDetector],
    standby: Standby | None = None,
    bound: Callable[[str], None] | None = None,
) -> bool:
    """Serve until stopped; returns whether that was by force.

    Args:
        options: How to behave.
        detector: Makes what finds speech, fresh for each session.
        standby: A worker process that was started earlier.
        bound: Told of the page's address once it can be opened.

    Raises:
        AsrctlError: The port cannot be had.
        UsageError: The certificate cannot be used.
        ModelError: The weights do not load.
        ProviderError: The provider cannot run here.
    """
    with asyncio.Runner(loop_factory=lambda: HandshakeLoop(options.limits.handshake_timeout_s)) as runner:
        return runner.run(_serve(options, detector, standby, bound))


async def _serve(
    options: ServeOptions,
    detector: Callable[[], SpeechDetector],
    standby: Standby | None,
    bound: Callable[[str], None] | None,
) -> bool:
    engine = Engine(options, standby=standby)
    try:
        await engine.wait_asked(_HAND_OVER_S)
        from asrctl.server.server import Server  # 0.15 s, in which the worker loads

        server = Server(options, detector, engine)
        gc.freeze()  # modules, and what lives as long: no collection needs to look at them again
        if bound is not None:
            bound(server.page_url)
        await server.serve()
    finally:
        await engine.close()
    return server.forced
