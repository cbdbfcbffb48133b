"""Watches the load and the workers, once a second: steps on the ladder, fails over, says what is wrong."""

from __future__ import annotations

from asrctl.policy.ladder import Level
from asrctl.server.hub import Hub
from asrctl.server.load import SessionCost

_MANY_FAILURES = 3
"""Decodes that fail one after the other before decoding is said not to work."""


class Governor:
    """Looks at a hub's engine, and tells both what to do. Workers that hang are the pool's to replace."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._cost = SessionCost(hub.options.width)
        self._stalled = False
        self._restarts = 0

    def tick(self) -> None:
        """To be called once a second."""
        hub, engine = self._hub, self._hub.engine
        if not engine.has_worker:
            engine.meter.excuse()
        load = engine.meter.load()
        self._step(load.share, load.delay_s)
        self._learn()
        engine.steer(hub.ladder.measures)
        if load.share < hub.options.ladder.down and not load.finals:
            for session in hub.sessions:
                hub.with_session(session, lambda each: each.catch_up(idle=True))
        self._watch()

    def _step(self, share: float, delay_s: float) -> None:
        ladder, engine = self._hub.ladder, self._hub.engine
        change = None
        if ladder.level is Level.FAILED_OVER:
            change = ladder.provider_recovered() if engine.try_main() else None
        elif reason := "the provider failed" if engine.failed else engine.streaming_trouble:
            change = ladder.provider_failed(reason)
        if change is None:
            change = ladder.observe(share, delay_s)
        if change is not None:
            self._hub.announce(change)

    def _learn(self) -> None:
        """What a session costs counts only under load, and is forgotten when that is over."""
        hub = self._hub
        share, sessions = self._cost.observe(hub.clock(), hub.engine.meter.finals_s, hub.answered_s)
        if hub.ladder.level < Level.SMALL_MODEL or not sessions:
            hub.admission.relax()
        else:
            hub.admission.observe(share, sessions)

    def _watch(self) -> None:
        """Say when workers were lost, and when decoding does not work, until it does."""
        hub, engine = self._hub, self._hub.engine
        if engine.restarts > self._restarts:
            hub.journal.note("workers.replaced", count=engine.restarts - self._restarts)
        self._restarts = engine.restarts
        stalled = engine.meter.stalled_s >= hub.options.watchdog_s
        if stalled and not self._stalled:
            hub.metrics.stalls.inc()
        self._stalled = stalled
        trouble = ""
        if stalled:
            trouble = "nothing is decoded although work waits"
        elif engine.failed and hub.options.models.fallback is None:
            trouble = "the provider failed"
        elif engine.meter.failures >= _MANY_FAILURES:
            trouble = "decoding fails"
            engine.probe()  # nobody is let in, so that nobody else would show that it works again
        if trouble != hub.trouble:
            hub.journal.note("error" if trouble else "error.over", reason=trouble or hub.trouble)
        hub.trouble = trouble
