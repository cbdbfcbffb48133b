"""The process that tells speakers apart as its parent sees it: started, fed, asked, and outlived."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from asrctl import errors
from asrctl.audio.isolated import OWN_GROUP, how_ended
from asrctl.errors import AudioError, ModelError
from asrctl.policy.turns import Turn
from asrctl.speakers.child import STUCK_S
from asrctl.speakers.options import SpeakerOptions

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

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
        self._resources = ExitStack()
        self._process: asyncio.subprocess.Process
        self._is_stuck = False

    async def __aenter__(self) -> Self:
        """Start it, and wait until its networks are loaded.

        Raises:
            AudioError: The sample of a known speaker cannot be read.
            ModelError: The networks do not load, or the process cannot be started.
            UsageError: In the sample of a known speaker nobody speaks.
        """
        # not a pipe: that could fill up and block the process
        self._complaints = self._resources.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        pipe = asyncio.subprocess.PIPE
        command = [*COMMAND, self._request]
        try:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=pipe, stdout=pipe, stderr=self._complaints, limit=_LINE_BYTES, **OWN_GROUP
            )
        except OSError as error:
            self._resources.close()
            raise ModelError(f"{_NAME} does not start: {error}") from error
        try:
            if (said := await self._said()) is None:
                raise ModelError(await self._ended())
            if said:
                raise getattr(errors, said["kind"])(said["error"])
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._kill()
        await self._process.wait()
        self._resources.close()

    def _give_up(self) -> None:
        self._is_stuck = True
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def feed(self, samples: NDArray[np.float32]) -> None:
        """Give it the next samples, and wait if it is behind; if it has died, `turns` says so."""
        assert self._process.stdin
        try:
            async with asyncio.timeout(_ANSWER_S):
                self._process.stdin.write(samples.tobytes())
                await self._process.stdin.drain()
        except TimeoutError:
            self._give_up()
        except ConnectionError:
            pass

    async def turns(self) -> list[Turn]:
        """Who spoke when in all that was fed.

        Raises:
            AudioError: It has died.
        """
        assert self._process.stdin
        self._process.stdin.close()
        if (said := await self._said()) is None:
            raise AudioError(f"speakers are unknown: {await self._ended()}")
        return [Turn(*each) for each in said]

    async def _said(self) -> Any:
        """Its next line; None if it has died, says something else, or nothing for too long."""
        assert self._process.stdout
        try:
            async with asyncio.timeout(_ANSWER_S):
                return json.loads(await self._process.stdout.readline())
        except TimeoutError:
            self._give_up()
        except (ValueError, ConnectionError):
            pass
        return None

    async def _ended(self) -> str:
        """How, in words; one that says what makes no sense is ended first."""
        if self._is_stuck:
            return f"{_NAME} does not answer"
        try:
            async with asyncio.timeout(1.0):
                code = await self._process.wait()
        except TimeoutError:
            return f"{_NAME} sent nonsense"
        return f"{_NAME} {how_ended(code, self._complaints)}"
