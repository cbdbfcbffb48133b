"""A voxtral process with the task that talks to it: first as a spare, then as one stream."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from asrctl.errors import ProviderError, WorkerCrashed
from asrctl.providers.outbox import Outbox, OutboxStream
from asrctl.providers.recognizer import Lost, Spoken, StreamRequest
from asrctl.providers.voxtral.blocks import duration_s
from asrctl.providers.voxtral.dialogue import Dialogue
from asrctl.providers.voxtral.process import VoxtralProcess
from asrctl.providers.voxtral.settings import VoxtralSettings
from asrctl.transcript import Samples

if TYPE_CHECKING:
    from asrctl.providers.voxtral.recognizer import Voxtral

_log = logging.getLogger(__name__)


class Resident(OutboxStream):
    """Started when made; the stream of whoever it is attached to. Only `wait_gone` waits for the process."""

    def __init__(
        self, command: Sequence[str], settings: VoxtralSettings, owner: Voxtral, *, monitored: bool
    ) -> None:
        """Start the task, which starts the process."""
        self.monitored = monitored
        self.is_closing = False
        """Whether its stream is closed; the process may live on for a moment."""
        self.never_ran = False
        """Whether there was nothing that could be run."""
        self.exit_code: int | None = None
        """How the process ended by itself, if it did."""
        self.ready_s: float | None = None
        """When it became ready, by the loop's clock."""
        self._command = command
        self._settings = settings
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._dialogue = Dialogue(settings, self._loop.time)
        self._process: VoxtralProcess | None = None
        self._behind = False
        self._say: Callable[[Spoken], None] | None = None
        self._wake = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name="voxtral")

    @property
    def pid(self) -> int:
        """Process id, once there is one; else 0."""
        return self._process.pid if self._process else 0

    @property
    def served(self) -> bool:
        """Whether it has completed an utterance."""
        return self._dialogue.completed > 0

    @property
    def refused_option(self) -> bool:
        """Whether the process ended because it does not know one of its options."""
        return self.ready_s is None and self._dialogue.status.refused_option

    # A stream

    def attach(self, request: StreamRequest, outbox: Outbox) -> bool:
        """Begin the stream, which speaks through `outbox`; False if the process has ended meanwhile."""
        if self._task.done() or self.is_closing:
            return False
        self._outbox, self._say = outbox, outbox.say
        self._dialogue.listen(request.decode.language)
        return True

    def feed(self, samples: Samples) -> None:
        from asrctl.audio.pcm import s16le_of

        if len(samples):
            self._put(s16le_of(samples))

    def end(self) -> None:
        self._put(None)

    def _put(self, data: bytes | None) -> None:
        if self._task.done() or self.is_closing or self._behind:
            return
        self._dialogue.feed(data)
        self._behind = duration_s(self._dialogue.waiting_bytes) > self._settings.max_waiting_s
        self._wake.set()

    def drop(self, utterance: int) -> None:
        super().drop(utterance)
        self._dialogue.drop(utterance)

    def close(self) -> None:
        """Stop at once; the process is killed, for it serves one stream."""
        self.is_closing = True
        if self._say is not None:
            self._outbox.close()
            self._say = None
        if self._process is not None:
            self._process.kill()
        self._wake.set()

    async def wait_gone(self) -> None:
        """Wait until the process is gone."""
        await asyncio.wait([self._task])

    # The task

    async def _run(self) -> None:
        error: ProviderError | None = None
        try:
            await self._converse()
        except ProviderError as caught:
            error = caught
        except OSError as caught:
            error = ProviderError(f"voxtral: {caught.strerror or caught}")
        except Exception as caught:  # a mistake of ours: the stream must not wait for ever because of it
            _log.exception("an unexpected error in voxtral's task")
            error = ProviderError(f"voxtral failed: {type(caught).__name__}: {caught}")
        if error is not None and self._say is not None:
            self._say(Lost(error, self._dialogue.utterance))
        self._owner.ended(self, None if self.is_closing else error)

    async def _converse(self) -> None:
        try:
            self._process = process = await VoxtralProcess.start(self._command)
        except ProviderError:
            self.never_ran = True
            raise
        try:
            process.watch(self._wake.set)
            while not self.is_closing:
                if self._behind:
                    limit_s = self._settings.max_waiting_s
                    raise ProviderError(f"voxtral is more than {limit_s:.0f} s behind: it is too slow here")
                await self._turn(process)
        except ProviderError as error:
            raise self._explained(error) from None
        finally:
            await process.close()

    async def _turn(self, process: VoxtralProcess) -> None:
        """Write what fits, read what is there, go on, and wait for more."""
        dialogue = self._dialogue
        self._wake.clear()
        while (data := dialogue.outgoing()) is not None and (count := process.write(data)):
            dialogue.wrote(count)
        # Looked at before its output is read: what it printed about the input it has taken is there then.
        unread_bytes = process.unread_bytes()
        output, ended = process.read(process.stdout)
        errors, _ = process.read(process.stderr)
        for spoken in dialogue.advance(unread_bytes, output, errors):
            if self._say is not None:
                self._say(spoken)
        if dialogue.ready and self.ready_s is None:
            self.ready_s = self._loop.time()
            self._owner.became_ready(self)
        if ended:
            raise await self._dead(process)
        await self._wait(process)

    async def _wait(self, process: VoxtralProcess) -> None:
        """Until something was fed or printed, its input has room, or it is time to look again."""
        wants_to_write = self._dialogue.outgoing() is not None
        patience_s = self._dialogue.patience_s()
        timer = None if patience_s is None else self._loop.call_later(patience_s, self._wake.set)
        if wants_to_write:
            process.when_writable(self._wake.set)
        try:
            await self._wake.wait()
        finally:
            if wants_to_write:
                process.when_writable(None)
            if timer is not None:
                timer.cancel()

    async def _dead(self, process: VoxtralProcess) -> ProviderError:
        how = await process.exit_reason()
        self.exit_code = process.exit_code
        self._dialogue.status.take(process.read(process.stderr)[0])
        return WorkerCrashed(how)

    def _explained(self, error: ProviderError) -> ProviderError:
        """With what the process said about it."""
        complaint = self._dialogue.status.quote()
        return type(error)(f"{error}: {complaint}" if complaint else str(error))
