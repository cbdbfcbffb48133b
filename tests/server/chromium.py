"""The server's own page in a headless Chromium, driven by playwright; audio comes from a fake microphone."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..streaming.speech import silence
from .browser import CHROMIUM
from .servers import PATIENCE_S, Running, pcm

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

KEEP_SOCKETS = """
window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...all) { super(...all); window.sockets.push(this); }
};
"""
"""A script that lets `Visit.inject` speak for the server."""
PATIENCE_MS = 1000 * PATIENCE_S
FLAGS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
)
_MICROPHONE = """
const heard = [];
window.AudioWorkletNode = class extends AudioWorkletNode {
  constructor(...all) { super(...all); heard.splice(0).forEach((start) => start()); }
};
navigator.mediaDevices.getUserMedia = navigator.mediaDevices.getDisplayMedia = async () => {
  const context = new AudioContext({ sampleRate: 16000 });
  const samples = Float32Array.from(%s, (each) => each / 32767);
  const buffer = context.createBuffer(1, samples.length, 16000);
  buffer.copyToChannel(samples, 0);
  const source = new AudioBufferSourceNode(context, { buffer });
  const out = context.createMediaStreamDestination();
  source.connect(out);
  heard.push(() => source.start(context.currentTime + 0.5));
  return out.stream;
};
"""
"""Speaks once the page listens: how long it takes to, on a busy machine, nobody knows."""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser whose microphone beeps."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A tab with the page of a server, and what a person would see there.

    Attributes:
        page: Playwright's.
        requests: The address of everything that the tab asked for, sockets too.
        uploads: What tests that answer for the server were sent.
        errors: What it complained of: exceptions, and breaches of the policy.
    """

    def __init__(
        self,
        browser: Browser,
        origin: str,
        path: str = "/",
        hears: bytes = b"",
        script: str = "",
        **context: Any,
    ) -> None:
        """Open the page; what the browser had open before is closed.

        Args:
            browser: In a fresh profile of it.
            origin: The server's.
            path: Of the page.
            hears: 16-bit audio at 16 kHz that all media give, sample by sample.
            script: Runs before those of the page.
            context: What the profile is like.
        """
        for earlier in browser.contexts:  # which would keep its sessions
            earlier.close()
        self.page: Page = browser.new_context(**context).new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.uploads: list[bytes] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self._note(message.type, message.text))
        self.page.add_init_script(script)
        if hears:
            self.page.add_init_script(_MICROPHONE % json.dumps(np.frombuffer(hears, "<i2").tolist()))
        self.page.goto(origin + path)
        self.page.wait_for_selector("body[data-loaded]", state="attached")

    def _note(self, kind: str, text: str) -> None:
        if kind == "error" and "Failed to load resource" not in text and "WebSocket connection" not in text:
            self.errors.append(text)

    def start(self) -> None:
        """Press the button."""
        self.page.click("#start")

    def stop(self) -> None:
        """Press it again, and wait for the account."""
        self.page.click("#start")
        self.wait_for_state("ended")

    def wait_for_state(self, text: str) -> None:
        """Wait until the state says so."""
        self.page.wait_for_function(
            "(text) => document.getElementById('state').textContent.includes(text)", arg=text
        )

    def wait_for_words(self, count: int) -> None:
        """Wait until finals hold so many words."""
        self.page.wait_for_function(
            "(count) => [...document.querySelectorAll('.log li:not(.gap) > span')]"
            ".flatMap((each) => each.textContent.split(' ')).length >= count",
            arg=count,
        )

    @property
    def finals(self) -> list[str]:
        """The texts of finals."""
        return self.page.locator(".log li:not(.gap) > span").all_text_contents()

    @property
    def words(self) -> list[str]:
        """Their words."""
        return [word for text in self.finals for word in text.split()]

    @property
    def state(self) -> str:
        """What the state says, with its details."""
        return self.page.inner_text("#state")

    def inject(self, message: dict[str, object]) -> None:
        """Have the socket say something, as a server would; for visits with `KEEP_SOCKETS`."""
        self.page.evaluate("(text) => window.sockets[0].onmessage({ data: text })", json.dumps(message))


def silent() -> bytes:
    """What a microphone hears where nobody speaks."""
    return pcm(silence(60.0))


def origin_of(server: Running) -> str:
    """Where a server's page is."""
    return f"http://127.0.0.1:{server.server.port}"
