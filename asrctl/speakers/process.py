"""The process that tells speakers apart as its parent sees it: started, fed, asked, and outlived."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Self

from asrctl import errors
from asrctl.audio.helper import Helper, helper
from asrctl.errors import AudioError, ModelError
from asrctl.policy.turns import Turn
from asrctl.speakers.child import STUCK_S
from asrctl.speakers.options import SpeakerOptions
from asrctl.transcript import Samples

_LINE_BYTES = 1 << 26
"""The turns of a recording of many days."""
_ANSWER_S = STUCK_S + 60.0
"""A process that does nothing for so long would have ended itself, if it were not stopped."""
_NAME = "the process that tells speakers apart"
COMMAND = [sys.executable, "-P", "-m", "asrctl.speakers.child"]
"""What is started; the request is its argument."""


class SpeakersProcess:
    """For one input: feed it all samples, then ask for the turns; an asynchronous context manager."""

    def __init__(self, options: SpeakerOptions, models_dir: Path) -> None:
        """Prepare; nothing is started yet.

        Args:
            options: Whom to tell apart.
            models_dir: Where weights are, or will be.
        """
        self.known = {*options.samples}
        """Names of speakers that are not numbered."""
        self._request = json.dumps({**asdict(options), "models_dir": str(models_dir)})
        self._process: Helper
        self._is_stuck = False

    async def __aenter__(self) -> Self:
        """Start it, and wait until its networks are loaded.

        Raises:
            AudioError: The sample of a known speaker cannot be read.
            ModelError: The networks do not load, or the process cannot be started.
            UsageError: In the sample of a known speaker nobody speaks.
        """
        async with AsyncExitStack() as resources:
            running = helper([*COMMAND, self._request], _NAME, _LINE_BYTES)
            try:
                self._process = await resources.enter_async_context(running)
            except OSError as error:
                raise ModelError(f"{_NAME} does not start: {error}") from error
            if said := await self._process.said(dict, _ANSWER_S):
                raise getattr(errors, said["kind"])(said["error"])
            self._resources = resources.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._resources.aclose()

    async def feed(self, samples: Samples) -> None:
        """Give it the next samples, and wait if it is behind; if it has died, `turns` says so."""
        if self._is_stuck:
            return
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._process.send(samples.tobytes())
        except TimeoutError:
            self._is_stuck = True

    async def turns(self) -> list[Turn]:
        """Who spoke when in all that was fed.

        Raises:
            AudioError: It has died, or does not answer.
        """
        self._process.end_input()
        try:
            said = await self._process.said(list, 0 if self._is_stuck else _ANSWER_S)
        except ModelError as error:
            raise AudioError(f"speakers are unknown: {error}") from None
        return [Turn(*each) for each in said]
