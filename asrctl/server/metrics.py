"""What Prometheus is told. The registry belongs to the server, not to the process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest
from prometheus_client.core import CounterMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from asrctl import __version__, events
from asrctl.events import Event
from asrctl.policy.ladder import Level
from asrctl.policy.priority import Kind
from asrctl.protocol.messages import Done, Dropped, Final, Partial, ServerMessage
from asrctl.server.load import WORK, Decoded

CONTENT_TYPE = CONTENT_TYPE_LATEST
_OUTCOMES = ("finalised", "silent", "dropped")
_REFUSALS = ("capacity", "source", "key", "origin", "subprotocol", "path", "host", "connections")
_RESULTS = ("partial", "final", "dropped", "done")
_KINDS: dict[type, str] = {
    **{Partial: "partial", Final: "final", Dropped: "dropped", Done: "done"},
    **{events.Partial: "partial", events.Final: "final", events.Dropped: "dropped", events.Finished: "done"},
}
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)


class Metrics:
    """Counters that the server moves, and values that are asked for when they are read."""

    def __init__(self, node: str = "") -> None:
        """All of them at 0; `node` is the server's name among others."""
        registry = self._registry = CollectorRegistry()
        Info("asrctl", "This server", registry=registry).info({"node": node, "version": __version__})
        self.rejected = Counter(
            "asrctl_rejected", "Handshakes and sessions refused", ["reason"], registry=registry
        )
        self.opened = Counter("asrctl_sessions_opened", "Sessions begun", ["source"], registry=registry)
        self.resumed = Counter("asrctl_resumes", "Sessions taken up again", registry=registry)
        self.closed = Counter("asrctl_closes", "Sockets closed, by code", ["code"], registry=registry)
        self.changes = Counter("asrctl_level_changes", "Steps on the ladder", ["level"], registry=registry)
        self.stalls = Counter(
            "asrctl_stalls", "Times nothing was decoded although work waited", registry=registry
        )
        self.received = Counter("asrctl_audio_received_seconds", "Audio received", registry=registry)
        self._audio = Counter(
            "asrctl_audio_seconds", "Audio answered for, by what became of it", ["outcome"], registry=registry
        )
        self._messages = Counter("asrctl_results", "Results said", ["kind"], registry=registry)
        self._waits = Histogram(
            "asrctl_wait_seconds", "Time in the queue", ["kind"], buckets=_SECONDS, registry=registry
        )
        self._inference = Histogram(
            "asrctl_inference_seconds", "Time decoding", ["kind"], buckets=_SECONDS, registry=registry
        )
        self._work = Counter(
            "asrctl_work_seconds",
            "Time decoding live audio, by what it was for: partials, guesses at finals, and of finals the "
            "first decode, repetition loops again, fallbacks from loops, rests, finding the language",
            ["work"],
            registry=registry,
        )
        kinds = [kind.name.lower() for kind in Kind]
        for metric, labels in (
            (self.rejected, _REFUSALS),
            (self.opened, ["mic", "system"]),
            (self.changes, [str(int(level)) for level in Level]),
            (self._audio, _OUTCOMES),
            (self._messages, _RESULTS),
            (self._waits, kinds),
            (self._inference, kinds),
            (self._work, WORK),
        ):
            for label in labels:
                metric.labels(label)  # so that it is there from the start, as 0

    def counter(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """Add a value that never falls, and is asked for when it is read."""
        self._registry.register(_Counted(f"asrctl_{name}", help_, value))

    def gauge(self, name: str, help_: str, value: Callable[[], float]) -> None:
        """Add a value that is asked for when it is read."""
        Gauge(f"asrctl_{name}", help_, registry=self._registry).set_function(value)

    def gauges(self, name: str, help_: str, label: str, values: dict[str, Callable[[], float]]) -> None:
        """Add several such values that differ in a label."""
        gauge = Gauge(f"asrctl_{name}", help_, [label], registry=self._registry)
        for key, value in values.items():
            gauge.labels(key).set_function(value)

    def said(self, news: ServerMessage | Event) -> None:
        """Count what a session told its client; of finals and drops only how many there were."""
        if kind := _KINDS.get(type(news)):
            self._messages.labels(kind).inc()

    def settled(self, speech_s: float, silence_s: float, dropped_s: float) -> None:
        """Count audio that was answered for."""
        for outcome, seconds in zip(_OUTCOMES, (speech_s, silence_s, dropped_s), strict=True):
            self._audio.labels(outcome).inc(max(0.0, seconds))

    def decoded(self, decode: Decoded, work: Mapping[str, float]) -> None:
        """Count a decode, and the seconds of each sort of work in it."""
        kind = decode.kind.name.lower()
        self._waits.labels(kind).observe(decode.wait_s)
        self._inference.labels(kind).observe(decode.inference_s)
        for name, seconds in work.items():
            self._work.labels(name).inc(seconds)

    def text(self) -> bytes:
        """All of it, in the text format."""
        return generate_latest(self._registry)


class _Counted(Collector):
    """A counter that somebody else keeps."""

    def __init__(self, name: str, help_: str, value: Callable[[], float]) -> None:
        self._name, self._help, self._value = name, help_, value

    def collect(self) -> Iterable[CounterMetricFamily]:
        yield CounterMetricFamily(self._name, self._help, value=self._value())


def memory_bytes(pids: Iterable[int]) -> int:
    """Resident memory of this process and of these; those that are gone count nothing."""
    total = 0
    for pid in (os.getpid(), *pids):
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.Error:
            continue
    return total
