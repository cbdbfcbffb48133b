"""The port of Wyoming on the local network: announced, found, taken back."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from asrctl.errors import UsageError
from asrctl.providers.base import ModelSpec
from asrctl.server.dialects import announcement
from asrctl.server.dialects.announcement import Announcement, check_announced
from asrctl.server.journal import Journal

from ..servers import PATIENCE_S, options_for, running, until

zeroconf = pytest.importorskip("zeroconf")
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf  # noqa: E402

SERVICE = "_wyoming._tcp.local."


class Seen:
    """What a browser of services is told."""

    def __init__(self) -> None:
        self.added: asyncio.Queue[str] = asyncio.Queue()
        self.removed: asyncio.Queue[str] = asyncio.Queue()

    def __call__(self, *, name: str, state_change: Any, **unused: object) -> None:
        added = state_change is zeroconf.ServiceStateChange.Added
        (self.added if added else self.removed).put_nowait(name)


async def test_found_by_itself(scripted: Callable[..., ModelSpec]) -> None:
    """Somebody on the network sees the name and the port of a server, and that it has gone."""
    options = options_for(scripted(), wyoming_port=0, zeroconf=True, node="attic")
    network, seen = AsyncZeroconf(interfaces=["127.0.0.1"]), Seen()
    browser = AsyncServiceBrowser(network.zeroconf, [SERVICE], handlers=[seen])
    try:
        with running(options) as server:
            async with asyncio.timeout(PATIENCE_S):
                assert await seen.added.get() == f"attic.{SERVICE}"
                info = AsyncServiceInfo(SERVICE, f"attic.{SERVICE}")
                assert await info.async_request(network.zeroconf, 1000 * PATIENCE_S)
            assert server.server.wyoming is not None
            assert (info.parsed_addresses(), info.port) == (["127.0.0.1"], server.server.wyoming.port)
            await asyncio.to_thread(until, lambda: "event=announced" in server.log.getvalue())
            await asyncio.to_thread(server.stop)
        async with asyncio.timeout(PATIENCE_S):
            assert await seen.removed.get() == f"attic.{SERVICE}"
    finally:
        await browser.async_cancel()
        await network.async_close()


async def test_no_network_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that nobody can reach ends nothing but the announcement."""
    log = io.StringIO()
    monkeypatch.setattr(psutil, "net_if_addrs", dict)
    announced = Announcement("0.0.0.0", 10300, "", Journal(log))
    announced.start()
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.to_thread(until, lambda: "event=announce.failed" in log.getvalue())
    await announced.close()


async def test_what_was_not_begun_is_closed() -> None:
    """A server that ends early has nothing to take back."""
    await Announcement("127.0.0.1", 10300, "", Journal(io.StringIO())).close()


def test_addresses_of_all_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that listens on all addresses announces those that others can reach."""

    def known(*addresses: str) -> None:
        found = [SimpleNamespace(family=socket.AF_INET, address=each) for each in addresses]
        more = [SimpleNamespace(family=socket.AF_INET6, address="fe80::1%eth0")]
        monkeypatch.setattr(psutil, "net_if_addrs", lambda: {"lo": found, "eth0": more})

    known("127.0.0.1", "192.168.1.7")
    for host in ("0.0.0.0", "::"):
        assert announcement._reachable(host) == ["192.168.1.7"]
    assert announcement._reachable("192.168.1.8") == ["192.168.1.8"]
    known("127.0.0.1")
    with pytest.raises(OSError, match="no address on a network"):
        announcement._reachable("0.0.0.0")


def test_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A port, and the extra."""
    assert check_announced(0)
    with pytest.raises(UsageError, match="--wyoming PORT"):
        check_announced(None)
    monkeypatch.setattr(announcement, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"asrctl\[zeroconf\]"):
        check_announced(10300)
