"""Watches the load and the workers, once a second: steps on the ladder, fails over, restarts what hangs."""

from __future__ import annotations

from asrctl.policy.ladder import Level
from asrctl.serve.hub import Hub

_MANY_FAILURES = 3
"""Decodes that fail one after the other before decoding is said not to work."""


class Governor:
    """Looks at a hub's engine, and tells both what to do."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._restarted_s: float | None = None

    def tick(self) -> None:
        """To be called once a second."""
        hub, engine = self._hub, self._hub.engine
        load = engine.meter.load()
        self._step(load.share, load.delay_s)
        self._learn(load.finals_share)
        engine.steer(hub.ladder.measures)
        if load.share < hub.options.ladder.down and not load.finals:
            for session in hub.sessions:
                session.catch_up(idle=True)
        self._watch()

    def _step(self, share: float, delay_s: float) -> None:
        ladder, engine = self._hub.ladder, self._hub.engine
        change = None
        if ladder.level is Level.FAILED_OVER:
            change = ladder.provider_recovered() if engine.try_main() else None
        elif engine.failed:
            change = ladder.provider_failed("the provider failed")
        if change is None:
            change = ladder.observe(share, delay_s)
        if change is not None:
            self._hub.announce(change)

    def _learn(self, finals_share: float) -> None:
        """What a session costs is seen only under load: before, partials take all the time there is."""
        hub = self._hub
        live = sum(session.listener is not None for session in hub.sessions)
        hub.admission.observe(finals_share if hub.ladder.level >= Level.SMALL_MODEL else 0.0, live)

    def _watch(self) -> None:
        """Restart workers that finish nothing; say when decoding does not work, until it does."""
        hub, engine = self._hub, self._hub.engine
        stalled = engine.meter.stalled_s >= hub.options.watchdog_s
        if not stalled:
            self._restarted_s = None
        elif self._restarted_s is None or hub.clock() - self._restarted_s >= hub.options.watchdog_s:
            self._restarted_s = hub.clock()
            hub.metrics.stalls.inc()
            hub.journal.note("watchdog", stalled_s=engine.meter.stalled_s)
            engine.restart_workers()
        if engine.has_dead_worker:
            engine.probe()
        trouble = ""
        if stalled:
            trouble = "nothing is decoded although work waits"
        elif engine.failed and hub.options.models.fallback is None:
            trouble = "the provider failed"
        elif engine.meter.failures >= _MANY_FAILURES:
            trouble = "decoding fails"
            engine.probe()  # nobody is let in, so that nobody else would show that it works again
        if trouble != hub.trouble:
            hub.journal.note("trouble" if trouble else "trouble.over", reason=trouble or None)
        hub.trouble = trouble
