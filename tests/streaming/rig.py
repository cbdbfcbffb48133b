"""A session over recognisers that do what the test says, in virtual time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable

from asrctl.policy.chain import ChainOptions
from asrctl.providers.recognizer import Recognizer
from asrctl.speakers.live_process import StreamSpeakers
from asrctl.streaming.fallback import Fallback
from asrctl.streaming.session import Session
from asrctl.streaming.stream import StreamOptions
from asrctl.transcript import SAMPLE_RATE_HZ
from tests.streaming.puppets import Decoder, Listener, Puppet, PuppetStream, act_at_random, windowed
from tests.streaming.speech import LevelDetector, Samples
from tests.streaming.virtual import settle


class Rig:
    """Runs a session whose providers are puppets; one called "windows…" decodes windows.

    Attributes:
        session: Under test.
        said: What it said.
        puppets: Its streaming providers, by name.
        decoders: Its windowed ones.
    """

    def __init__(
        self,
        names: Iterable[str] = ("stream", "windows"),
        options: StreamOptions | None = None,
        chain: ChainOptions | None = None,
        speakers: StreamSpeakers | None = None,
    ) -> None:
        self.said = Listener()
        self.puppets: dict[str, Puppet] = {}
        self.decoders: dict[str, Decoder] = {}
        members: list[Recognizer] = []
        for name in names:
            if name.startswith("windows"):
                self.decoders[name] = Decoder()
                members.append(windowed(self.decoders[name], name))
            else:
                self.puppets[name] = Puppet(name)
                members.append(self.puppets[name])
        self.fallback = Fallback(members, chain, asyncio.get_running_loop().time)
        detector, options = LevelDetector(), options or StreamOptions()
        self.session = Session(detector, options, self.fallback, self.said, name="s", speakers=speakers)
        self.fed_samples = 0

    @property
    def decoder(self) -> Decoder:
        """The one that there is."""
        (decoder,) = self.decoders.values()
        return decoder

    @property
    def live(self) -> list[PuppetStream]:
        """All open streams of streaming providers."""
        return [stream for puppet in self.puppets.values() for stream in puppet.live]

    async def play(self, samples: Samples, *, answering: bool = True, chunk_samples: int = 1600) -> None:
        """Feed samples in chunks, each of which takes its time, answering at once or not at all."""
        for at in range(0, len(samples), chunk_samples):
            chunk = samples[at : at + chunk_samples]
            self.fed_samples += len(chunk)
            self.session.feed(chunk)
            await asyncio.sleep(len(chunk) / SAMPLE_RATE_HZ)
            if answering:
                for stream in self.live:
                    stream.hear()
                await self.answer_all()

    async def answer_all(self) -> None:
        """Let everybody answer, until nobody has anything more to say."""
        await settle()
        while any(stream.waiting for stream in self.live) or any(d.waiting for d in self.decoders.values()):
            for stream in self.live:
                while stream.waiting:
                    stream.complete()
            for decoder in self.decoders.values():
                for call in decoder.waiting:
                    call.answer()
            await settle()

    async def play_at_random(self, samples: Samples, dice: random.Random) -> None:
        """Feed samples in chunks of any size, while recognisers say, answer and break at any moment."""
        at = 0
        while at < len(samples):
            size = dice.choice((1, 160, 512, 800, 5000, 40_000))
            self.session.feed(samples[at : at + size])
            self.fed_samples += len(samples[at : at + size])
            at += size
            while dice.random() < 0.6:
                if dice.random() < 0.8:
                    await settle()
                act_at_random(list(self.puppets.values()), dice)
                calls = [call for decoder in self.decoders.values() for call in decoder.waiting]
                if calls:
                    dice.choice(calls).answer()

    async def lose(self, name: str, reason: str = "broken", number: int | None = None) -> None:
        """The stream of a provider breaks."""
        self.puppets[name].stream.lose(reason, number)
        await settle()

    async def finish(self) -> None:
        """End the session and answer everything, however long it takes."""
        self.session.finish()
        ending = asyncio.create_task(self.session.wait_ended())
        for _ in range(10_000):
            await self.answer_all()
            if ending.done():
                break
            await asyncio.sleep(0.1)
        else:
            raise AssertionError("the session does not end")
        await ending
