"""Says on the local network (mDNS) where the port of Wyoming is: Home Assistant finds it by itself."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from importlib.util import find_spec

import psutil

from asrctl.errors import UsageError
from asrctl.server.journal import Journal

_SERVICE = "_wyoming._tcp.local."
_CLOSE_S = 2.0
"""Taking it back is a courtesy, for which a shutdown does not wait longer."""


def check_announced(wyoming_port: int | None) -> bool:
    """See that there is something to announce, and the means.

    Raises:
        UsageError: There is not.
    """
    if wyoming_port is None:
        raise UsageError("--zeroconf announces the port of Wyoming: give --wyoming PORT too")
    if find_spec("zeroconf") is None:
        raise UsageError("--zeroconf needs zeroconf: pip install 'asrctl[zeroconf]'")
    return True


class Announcement:
    """Of one port, from `start` to `close`; what goes wrong with it is noted, and ends nothing else."""

    def __init__(self, host: str, port: int, node: str, journal: Journal) -> None:
        """`host` is the address that is listened on, and `node` the server's name, if it has one."""
        self._host = host
        self._port = port
        self._name = node or f"asrctl {socket.gethostname()}".partition(".")[0]
        self._journal = journal
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; whether the name is free takes a second to find out."""
        self._task = asyncio.create_task(self._run(), name="zeroconf")

    async def close(self) -> None:
        """Take it back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        from zeroconf import Error
        from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

        try:
            addresses = _reachable(self._host)
            info = AsyncServiceInfo(
                _SERVICE, f"{self._name}.{_SERVICE}", port=self._port, parsed_addresses=addresses
            )
            network = AsyncZeroconf(interfaces=addresses)
            try:
                await network.async_register_service(info, allow_name_change=True)
                self._journal.note("announced", name=info.name, port=self._port)
                await asyncio.get_running_loop().create_future()
            finally:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_CLOSE_S):
                        await network.async_close()
        except (Error, OSError, ValueError) as error:
            self._journal.note("announce.failed", error=type(error).__name__, detail=str(error)[:200])


def _reachable(host: str) -> list[str]:
    """The addresses that clients can connect to.

    Raises:
        OSError: There is none but this machine's own.
    """
    if not ipaddress.ip_address(host).is_unspecified:
        return [host]
    known = [each for addresses in psutil.net_if_addrs().values() for each in addresses]
    mine = [each.address for each in known if each.family == socket.AF_INET]
    found = [address for address in mine if not ipaddress.ip_address(address).is_loopback]
    if not found:
        raise OSError("this machine has no address on a network")
    return found
