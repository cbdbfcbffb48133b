"""Providers that stand in for each other: who decodes a window, who is ready, and how all are closed."""

from __future__ import annotations

import asyncio

import pytest

from asrctl.errors import (
    AsrctlError,
    DecodeError,
    ModelError,
    ProviderError,
    QueueFull,
    ServerError,
    Superseded,
    UsageError,
    WorkerCrashed,
)
from asrctl.policy.priority import Kind, Ticket
from asrctl.providers.base import DecodeOptions
from asrctl.providers.recognizer import Recognizer
from asrctl.streaming.fallback import Fallback
from asrctl.streaming.pooled import DeferredRecognizer
from asrctl.transcript import Hypothesis
from asrctl_tests.scripted import speak
from tests.streaming.puppets import Decoder, Puppet, windowed
from tests.streaming.virtual import VIRTUAL, others, settle

OPTIONS = DecodeOptions(word_timestamps=True)
TICKET = Ticket("file", Kind.FINAL)


@pytest.fixture(scope="module")
def anyio_backend() -> object:
    """In virtual time."""
    return VIRTUAL


class Windows:
    """A fall-back over decoders that answer when told to."""

    def __init__(self, count: int = 2) -> None:
        self.decoders = [Decoder() for _ in range(count)]
        members = [windowed(decoder, f"p{at}") for at, decoder in enumerate(self.decoders)]
        self.fallback = Fallback(members, clock=asyncio.get_running_loop().time)

    def decode(self, number: int = 1) -> asyncio.Task[Hypothesis]:
        assert self.fallback.windows is not None
        return asyncio.create_task(self.fallback.windows.decode(speak([number]), OPTIONS, TICKET))

    async def answer(self, at: int, error: Exception | None = None) -> None:
        await settle()
        (call,) = self.decoders[at].waiting
        call.answer(error)
        await settle()


async def test_it_shows_the_best_provider() -> None:
    """Name, model, place; times are summed, where there are some, and so are processes."""
    run = Windows()
    fallback = Fallback([*run.fallback.members.values(), Puppet()])
    assert (fallback.name, fallback.model, fallback.description) == ("p0", "p0-model", "p0 here")
    assert (fallback.load_s, fallback.inference_s) == (3.0, 5.0)
    assert fallback.pids() == [4711, 4711]
    assert isinstance(fallback, Recognizer)


async def test_without_windows_there_is_no_decoder() -> None:
    """With streaming providers alone; one that takes windows is enough, and tells how many at a time."""
    assert Fallback([Puppet()]).windows is None
    decoder = Fallback([Puppet(), windowed(Decoder(width=3))]).windows
    assert decoder is not None and decoder.width == 3


async def test_the_first_decodes() -> None:
    """And is named; nobody else hears of it."""
    run = Windows()
    task = run.decode()
    await run.answer(0)
    assert (task.result().text, task.result().provider) == ("w1", "p0")
    assert not run.decoders[1].calls and run.fallback.failures == {}


@pytest.mark.parametrize("error", [WorkerCrashed("gave up"), DecodeError("no"), QueueFull("full")])
async def test_a_window_that_fails_goes_to_the_next(error: Exception) -> None:
    """That one alone: the first gets the next window."""
    run = Windows()
    task = run.decode()
    await run.answer(0, error)
    await run.answer(1)
    assert task.result().provider == "p1" and run.fallback.failures == {"p0": str(error)}
    task = run.decode()
    await run.answer(0)
    assert task.result().provider == "p0"


@pytest.mark.parametrize("error", [ModelError("x"), ProviderError("x"), UsageError("x"), ServerError("x")])
async def test_a_provider_that_cannot_run_rests(error: Exception) -> None:
    """The next has all windows for a while; then it is asked again."""
    run = Windows()
    first = run.decode()
    await run.answer(0, error)
    await run.answer(1)
    second = run.decode()
    await run.answer(1)
    assert first.result().provider == second.result().provider == "p1"
    await asyncio.sleep(31)
    third = run.decode()
    await run.answer(0)
    assert third.result().provider == "p0"


async def test_one_that_rests_is_better_than_none() -> None:
    """If the other one fails with the window."""
    run = Windows()
    run.fallback.failed("p0", ProviderError("it is ill"))
    task = run.decode()
    await run.answer(1, DecodeError("no"))
    await run.answer(0)
    assert task.result().provider == "p0"


@pytest.mark.parametrize(
    ("errors", "told", "text"),
    [
        ([ModelError("a"), ModelError("b")], ModelError, "p0: a; p1: b"),
        ([ProviderError("a"), ModelError("b")], ProviderError, "p0: a; p1: b"),
        ([ModelError("a"), DecodeError("b")], DecodeError, "p0: a; p1: b"),
        ([WorkerCrashed("a"), ModelError("b")], WorkerCrashed, "p0: a; p1: b"),
        ([WorkerCrashed("a")], WorkerCrashed, "a"),
    ],
)
async def test_a_window_that_nobody_can_decode(
    errors: list[Exception], told: type[AsrctlError], text: str
) -> None:
    """Fails with what each said, as an error about one window if somebody goes on; alone, with its own."""
    run = Windows(len(errors))
    task = run.decode()
    for at, error in enumerate(errors):
        await run.answer(at, error)
    with pytest.raises(told) as caught:
        await task
    assert type(caught.value) is told and str(caught.value) == text


@pytest.mark.parametrize("error", [Superseded("a newer one"), ZeroDivisionError("a bug")])
async def test_what_is_no_failure_of_the_provider_is_passed_on(error: Exception) -> None:
    """Nobody else is asked."""
    run = Windows()
    task = run.decode()
    await run.answer(0, error)
    with pytest.raises(type(error)):
        await task
    assert not run.decoders[1].calls and run.fallback.failures == {}


async def test_a_cancelled_window_is_aborted() -> None:
    """And goes to nobody."""
    run = Windows()
    task = run.decode()
    await settle()
    task.cancel()
    await settle()
    assert run.decoders[0].calls[0].aborted and not run.decoders[1].calls
    assert run.fallback.failures == {}


async def test_what_is_decoded_while_all_is_closed_goes_to_nobody() -> None:
    """A pool that closes is no failure that another one makes good; what comes later is told so."""
    run = Windows()
    made: list[str] = []

    async def make() -> tuple[Recognizer, str]:
        made.append("reserve")
        return Puppet(), "en"

    reserve = DeferredRecognizer("reserve", make, windowed=True)
    fallback = Fallback([*run.fallback.members.values(), reserve])
    assert fallback.windows is not None
    task = asyncio.create_task(fallback.windows.decode(speak([1]), OPTIONS, TICKET))
    await settle()
    await fallback.close()
    with pytest.raises(ProviderError, match="closed"):
        await task
    with pytest.raises(ProviderError, match="closed"):
        await fallback.windows.decode(speak([1]), OPTIONS, TICKET)
    assert not made and not run.decoders[1].calls and not others()


# Ready and closed


async def test_it_is_ready_when_the_best_is() -> None:
    """Nobody else is waited for."""
    one, two = Puppet("one"), Puppet("two", load_error=ModelError("not needed"))
    await Fallback([one, two]).wait_ready()


@pytest.mark.parametrize("error", [ModelError("no weights"), ProviderError("no GPU"), ServerError("down")])
async def test_where_the_best_does_not_load_the_next_is_waited_for(error: Exception) -> None:
    """And the first rests; if nobody will be ready, the first one's reason is told."""
    one, two = Puppet("one", load_error=error), Puppet("two")
    fallback = Fallback([one, two])
    await fallback.wait_ready()
    assert fallback.why_not("one") == str(error) and fallback.said("two") == ""
    two.load_error = ModelError("nor this")
    with pytest.raises(type(error), match=str(error)):
        await fallback.wait_ready()


async def test_what_nobody_foresaw_is_raised_at_once() -> None:
    """Since it is a mistake of ours."""
    with pytest.raises(ZeroDivisionError):
        await Fallback([Puppet("one", load_error=ZeroDivisionError()), Puppet("two")]).wait_ready()


async def test_whoever_waits_is_told_when_all_is_closed() -> None:
    """No reserve is started for it."""

    class Loading(Puppet):
        """Loads until it is closed."""

        async def wait_ready(self) -> None:
            while not self.closed:
                await asyncio.sleep(0.1)
            raise ProviderError("the recogniser is closed")

    async def make() -> tuple[Recognizer, str]:
        raise AssertionError("made too late")

    fallback = Fallback([Loading("one"), DeferredRecognizer("two", make, windowed=False)])
    task = asyncio.create_task(fallback.wait_ready())
    await settle()
    await fallback.close()
    with pytest.raises(ProviderError, match="closed"):
        await task


async def test_all_are_closed_even_if_one_cannot_be() -> None:
    """What went wrong is raised in the end."""

    class Stuck(Puppet):
        async def close(self) -> None:
            raise OSError("stuck")

    last = Puppet("last")
    with pytest.raises(OSError, match="stuck"):
        await Fallback([Stuck("first"), last]).close()
    assert last.closed
