"""A TCP proxy that cuts, stalls and vanishes, by dice."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
import threading


class Proxy:
    """Forwards connections to a port, and ends each after a number of bytes that the dice say."""

    def __init__(self, port: int, dice: random.Random, mean_bytes: int) -> None:
        self._port = port
        self._dice = dice
        self._mean_bytes = mean_bytes
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        self.calm = False
        """Connections that begin from now on are left alone."""
        self._threads: list[threading.Thread] = []
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            left = 10**12 if self.calm else int(self._dice.expovariate(1 / self._mean_bytes))
            style = self._dice.choice(("close", "reset", "stall"))
            thread = threading.Thread(target=self._forward, args=(client, left, style))
            self._threads.append(thread)
            thread.start()

    def _forward(self, client: socket.socket, left: int, style: str) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            with contextlib.suppress(OSError):
                while left > 0:
                    for ready in select.select([client, server], [], [])[0]:
                        data = ready.recv(min(left, 4096))
                        if not data:
                            return
                        left -= len(data)
                        (server if ready is client else client).sendall(data)
            self.cuts += 1
            if style == "stall":  # for a while nothing moves, and then it is gone
                select.select([], [], [], 0.1)
            if style == "reset":
                for end in (client, server):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        """Stop accepting, and wait for what is forwarded to end."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for thread in self._threads:
            thread.join()
