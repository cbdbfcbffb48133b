"""What Prometheus reads: all of it is there from the start, and moves when something happens."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import numpy as np
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus

from asrctl.policy.admission import AdmissionOptions
from asrctl.policy.ladder import MEASURES, LadderOptions, Level
from asrctl.protocol.messages import Partial
from asrctl.providers.base import ModelSpec
from asrctl_tests.scripted import speak

from ..streaming.speech import silence
from .servers import Running, Talker, open_socket, options_for, pcm, running, spoken, until

Scripted = Callable[..., ModelSpec]
SPEECH = pcm(np.concatenate((speak(range(12)), silence(0.8))))


def values(server: Running) -> dict[str, float]:
    """All of /metrics by name and labels, in the order of the labels."""
    samples = (
        sample
        for family in text_string_to_metric_families(server.get("/metrics")[1])
        for sample in family.samples
        if not sample.name.endswith("_created")
    )
    return {" ".join([each.name, *each.labels.values()]): each.value for each in samples}


MOVING = {
    "asrctl_sessions attached",
    "asrctl_sessions detached",
    "asrctl_sessions_opened_total mic",
    "asrctl_sessions_opened_total system",
    "asrctl_rejected_total capacity",
    "asrctl_rejected_total origin",
    "asrctl_queue_depth final",
    "asrctl_queue_depth partial",
    "asrctl_queue_delay_seconds",
    "asrctl_wait_seconds_count final",
    "asrctl_wait_seconds_count partial",
    "asrctl_inference_seconds_count final",
    "asrctl_inference_seconds_count partial",
    "asrctl_work_seconds_total first",
    "asrctl_work_seconds_total partial",
    "asrctl_rtf",
    "asrctl_level",
    "asrctl_level_changes_total 1",
    "asrctl_results_total partial",
    "asrctl_results_total final",
    "asrctl_results_total dropped",
    "asrctl_results_total done",
    "asrctl_worker_restarts_total",
    "asrctl_audio_received_seconds_total",
    "asrctl_audio_seconds_total finalised",
    "asrctl_audio_seconds_total silent",
    "asrctl_audio_seconds_total dropped",
    "asrctl_memory_bytes",
    "asrctl_resumes_total",
    "asrctl_closes_total 1000",
    "asrctl_stalls_total",
    "asrctl_spooled_seconds",
    "asrctl_ready",
}


def test_everything_moves(scripted: Scripted) -> None:
    """Each metric is there before anything happens, close codes apart, and becomes another number."""
    options = options_for(
        scripted(delay_s=0.1, hang_on=["w99"], crashes=1, refuse_on=["w50"]),
        watchdog_s=1.0,
        admission=AdmissionOptions(max_sessions=3),
        ladder=LadderOptions(up=(0.05, 50.0, 99.0), down=0.01, min_stay_s=0.1, max_queue_delay_s=1000.0),
    )
    seen: dict[str, set[float]] = {}

    def still() -> set[str]:
        for name, value in values(server).items():
            seen.setdefault(name, set()).add(value)
        return {name for name in MOVING if len(seen.get(name, ())) < 2}

    with running(options) as server:
        assert "# TYPE asrctl_worker_restarts_total counter" in server.get("/metrics")[1]
        assert still() == MOVING
        assert set(seen) >= {"asrctl_session_limit", *MOVING} - {"asrctl_closes_total 1000"}
        seen["asrctl_closes_total 1000"] = {0.0}
        talker = Talker(server.url, SPEECH + spoken(50, 51)).connect()
        talker.send(2.0)
        until(lambda: "asrctl_queue_depth partial" not in still())
        talker.receive_until(Partial)
        # Without partials, which would hang in its place; 2 s long, so that its deadline is a while off.
        hangs = pcm(np.concatenate((speak(range(99, 109)), silence(0.8))))
        hanging = Talker(server.url, hangs, partials=False).connect()
        system = Talker(server.url, spoken(1, 2, 3), source="system").connect()
        for origin in (None, "https://example.org"):
            with contextlib.suppress(InvalidStatus):
                open_socket(server.url, origin=origin)
        held = server.server.hub.find(system.protocol.session_id or "")
        assert held is not None
        server.call(lambda: held.obey(MEASURES[Level.FINALS_ONLY]))
        system.send()
        talker.send()
        hanging.send()
        until(lambda: "asrctl_spooled_seconds" not in still())
        talker.cut()
        until(lambda: not still() & {"asrctl_sessions detached", "asrctl_stalls_total"})
        talker.connect()
        talker.finish()
        system.finish()
        hanging.finish()
        for each in (talker, system, hanging):
            each.__exit__(None, None, None)
        until(lambda: not still())
