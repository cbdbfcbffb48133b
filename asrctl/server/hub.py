"""All sessions of a server: who may begin one, who may take one up, and when they end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from asrctl.end_of_turn.process import TurnProcess
from asrctl.events import Event, Finished
from asrctl.policy.admission import Admission, Refusal
from asrctl.policy.ladder import Ladder, LevelChange
from asrctl.policy.pacing import gather_s
from asrctl.policy.priority import Source
from asrctl.protocol.messages import Done, GoAway, ServerMessage, Status
from asrctl.server.engine import Engine
from asrctl.server.groups import Groups
from asrctl.server.journal import Journal
from asrctl.server.metrics import Metrics
from asrctl.server.options import ServeOptions
from asrctl.server.served import Bounds, ServedSession
from asrctl.server.session import LiveSession
from asrctl.speakers.live_process import LiveSpeakers
from asrctl.streaming.stream import SpeechDetector
from asrctl.transcript import SAMPLE_RATE_HZ, AudioAccount

NODE_END = "."
"""Between the node's name and the rest of a session's id, which has none: a balancer finds the node by it."""
_FINISHED_KEPT = 256
"""Sessions that are done are kept for a client that lost its socket just then; no more than this."""
_NOT_READY_RETRY_S = 2
_SILENT_TTL_S = 5.0
"""A session in which nothing was spoken waits for a lost client no longer: it has nothing to lose."""


class Hub:
    """Sessions by their id. Belongs to one event loop."""

    def __init__(
        self,
        options: ServeOptions,
        engine: Engine,
        detector: Callable[[], SpeechDetector],
        metrics: Metrics,
        journal: Journal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A hub without sessions; `detector` makes what finds speech, fresh for each session."""
        self.options = options
        self.engine = engine
        self.metrics = metrics
        self.journal = journal
        self.clock = clock
        self.admission = Admission(options.admission, clock)
        self.ladder = Ladder(options.ladder, clock)
        self.groups = Groups(clock)
        self.closing = ""
        """Why nobody new is let in any more; empty until the end."""
        self.trouble = ""
        """Why decoding does not work at the moment; empty if it does."""
        self.turns = (
            TurnProcess(options.turns_from, lambda reason: journal.note("turns.lost", reason=reason))
            if options.turns_from
            else None
        )
        """Hears the ends of turns for all sessions; None where nobody does."""
        self.speakers = LiveSpeakers(options.speakers_dir) if options.speakers_dir else None
        """Tells the speakers of sessions apart; None where nobody can."""
        self.detector = detector
        """Makes what finds speech, fresh for each session or file."""
        self.awaits_pace = options.awaits_pace
        """Whether nobody is let in yet, since it is not known how many can be."""
        self._was_ready = False
        self._sessions: dict[str, ServedSession] = {}
        self._counted: dict[str, AudioAccount] = {}
        self._full = set[str]()
        self.answered_s = 0.0
        """Audio of all sessions so far that became speech or silence."""

    @property
    def sessions(self) -> list[ServedSession]:
        """Those that are not done."""
        return [session for session in self._sessions.values() if not session.done]

    def pids(self) -> list[int]:
        """Process ids of all that works for sessions."""
        helpers = [each for each in (self.turns, self.speakers) if each is not None]
        return [*self.engine.pids(), *(pid for each in helpers for pid in each.pids())]

    def find(self, session_id: str) -> ServedSession | None:
        """The session of this id, done or not."""
        return self._sessions.get(session_id)

    @property
    def why_not_ready(self) -> str:
        """What keeps the server from being ready; empty if nothing does."""
        loading = "" if self.engine.ready else "no worker is ready"
        return self.closing or self.trouble or self._loading() or loading

    @property
    def why_not_now(self) -> str:
        """Why nothing new is taken; empty if it is. A worker that is being replaced is waited for."""
        return self.closing or self.trouble or self._loading()

    def _loading(self) -> str:
        """Whether no worker has been ready yet: one that is replaced later is waited for."""
        self._was_ready = self._was_ready or (self.engine.ready and not self.awaits_pace)
        return "" if self._was_ready else "the model is loading"

    # Who comes in

    def admit(self) -> str | Refusal:
        """The first door: the id of a session to be, or why not. To be given back by `release`."""
        if reason := self.why_not_now:
            return Refusal(reason, _NOT_READY_RETRY_S)
        node = f"{self.options.node}{NODE_END}" if self.options.node else ""
        session_id = node + secrets.token_urlsafe(12)
        refusal = self.admission.admit(session_id)
        if refusal is not None and self._give_up_silent():
            refusal = self.admission.admit(session_id)
        return refusal or session_id

    @property
    def why_no_room(self) -> str:
        """Why no further session would be let in; empty if one would."""
        full = self.admission.why_full if len(self.admission) >= self.admission.limit else ""
        return self.why_not_now or full

    def _give_up_silent(self) -> bool:
        """End a session that lost its client before anything was spoken, for somebody who is there."""
        for session in self._sessions.values():
            if session.detached_s is not None and not session.has_spoken and not session.done:
                self.end(session)
                return True
        return False

    def release(self, session_id: str) -> None:
        """A socket that was let in is gone, or took up another session: its place is free."""
        if session_id not in self._sessions:
            self.admission.release(session_id)

    def assign(self, session_id: str, source: str) -> Refusal | None:
        """The second door, once it is known what an admitted client sends."""
        refusal = self.admission.assign(session_id, Source[source.upper()])
        if refusal is not None:
            self.metrics.rejected.labels("source").inc()
        return refusal

    @property
    def bounds(self) -> Bounds:
        """What each session may hold."""
        return Bounds(self.options.hold_s, self.options.spool_s, self.options.max_lag_s)

    def enter(self, session: ServedSession, dialect: str | None = None) -> None:
        """A session of somebody who was admitted begins."""
        session.obey(self.ladder.measures, int(self.ladder.level))
        self._sessions[session.session_id] = session
        if isinstance(session, LiveSession):
            self.groups.join(session)
        source = session.request.source
        self.metrics.opened.labels(source).inc()
        self.journal.note("session.start", session=session.session_id, source=source, dialect=dialect)

    def leave(self, session: ServedSession) -> None:
        """A client that does not come back has gone: what is pending is dropped, and its place is free."""
        if not session.done:
            session.abandon()
            self._note_done(session)
        self.end(session)

    # What happens meanwhile

    def tick(self) -> None:
        """To be called a few times a second."""
        for session in list(self._sessions.values()):
            self.with_session(session, self._look_after)
            if session.is_over or self._has_expired(session):
                self.end(session)
        self._note_disk()
        self.groups.tick()
        finished = [session for session in self._sessions.values() if session.done]
        for session in finished[:-_FINISHED_KEPT]:
            self.end(session)

    def with_session(self, session: ServedSession, act: Callable[[ServedSession], None]) -> None:
        """Do something with a session; what goes wrong ends this session, and no other."""
        try:
            act(session)
        except Exception as error:
            session.fail(f"{type(error).__name__}: {error}")

    def _look_after(self, session: ServedSession) -> None:
        session.gather_s = gather_s(len(self._sessions))
        session.feed_gathered()
        session.catch_up()
        if news := session.bound_lag():
            level = self.ladder.level
            session.announce(self._status(LevelChange(level, level, news)))
        session.report()
        self._count(session)

    def _has_expired(self, session: ServedSession) -> bool:
        """Whether no client comes for it any more."""
        if session.is_attached:
            return False
        if session.detached_s is None:
            session.detached_s = self.clock()
        ttl_s = self.options.resume_ttl_s
        if not session.has_spoken and not session.done:
            ttl_s = min(ttl_s, _SILENT_TTL_S)
        return self.clock() - session.detached_s >= ttl_s

    def _status(self, change: LevelChange, provider: str | None = None) -> Status:
        return Status(
            level=int(change.level),
            from_level=int(change.from_level),
            reason=change.reason[:500],
            model=self.engine.model.name,
            provider=provider,
        )

    def _note_disk(self) -> None:
        full = {session_id for session_id, session in self._sessions.items() if session.is_spool_full}
        for session_id in full - self._full:
            self.journal.note("spool.full", session=session_id)
        self._full = full

    def announce(self, change: LevelChange) -> None:
        """A step on the ladder: sessions act on it, clients are told."""
        self.metrics.changes.labels(str(int(change.level))).inc()
        self.journal.note(
            "level", level=int(change.level), from_level=int(change.from_level), reason=change.reason
        )
        status = self._status(change, self.engine.model.spec.provider)

        def tell(session: ServedSession) -> None:
            session.obey(self.ladder.measures, int(change.level))
            session.announce(status)

        for session in self.sessions:
            self.with_session(session, tell)

    def end(self, session: ServedSession) -> None:
        """Forget a session."""
        session_id = session.session_id
        self._sessions.pop(session_id, None)
        if isinstance(session, LiveSession):
            self.groups.leave(session)
        self.admission.release(session_id)
        self._count(session)
        self._counted.pop(session_id, None)
        if not session.done or session.failure:
            reason = session.failure[:200] or None
            self.journal.note("session.lost", session=session_id, pending_s=session.pending_s, reason=reason)
        session.close()

    def said(self, session: ServedSession, news: ServerMessage | Event) -> None:
        """A session told its client something."""
        self.metrics.said(news)
        if isinstance(session, LiveSession):
            self.groups.said(session, news)
        if isinstance(news, Done | Finished):
            self._note_done(session)

    def _note_done(self, session: ServedSession) -> None:
        """All of a session's audio is answered for: others may have its place."""
        self.admission.release(session.session_id)
        self.journal.note("session.done", session=session.session_id, **session.account.seconds())

    def _count(self, session: ServedSession) -> None:
        """Add to the metrics what the session's account grew by."""
        now, before = session.account, self._counted.get(session.session_id, AudioAccount())
        self._counted[session.session_id] = now
        self.answered_s += (now.speech_samples - before.speech_samples) / SAMPLE_RATE_HZ
        self.answered_s += (now.silence_samples - before.silence_samples) / SAMPLE_RATE_HZ
        rate = SAMPLE_RATE_HZ
        self.metrics.received.inc((now.received_samples - before.received_samples) / rate)
        self.metrics.settled(
            (now.speech_samples - before.speech_samples) / rate,
            (now.silence_samples - before.silence_samples) / rate,
            (now.dropped_samples - before.dropped_samples) / rate,
        )

    # The end

    def go_away(self, after_s: float) -> None:
        """Nobody new; the utterances that have ended are finished."""
        self.closing = "the server is shutting down"
        self.groups.closing = True

        def tell(session: ServedSession) -> None:
            session.feed_gathered()
            session.announce(GoAway(after_s))

        for session in self.sessions:
            self.with_session(session, tell)

    def hand_over(self) -> None:
        """End the sessions in which nobody speaks: their clients take them up at another server."""
        for session in self.sessions:
            if session.may_move:
                self.with_session(session, lambda each: each.report())  # so that nothing is sent again
                self._part(session)

    @property
    def settled(self) -> bool:
        """Whether no session waits for a final."""
        return all(session.settled for session in self.sessions)

    def close(self) -> None:
        """Close all sockets with 1012 and end all sessions."""
        for session in list(self._sessions.values()):
            self._part(session)
        self.groups.close()

    def _part(self, session: ServedSession) -> None:
        self.with_session(session, lambda each: each.end_socket())
        self.end(session)
