"""The sessions of `asrctl.v1`: begun, taken up on another socket, left alone for a while."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from asrctl.policy.admission import Refusal
from asrctl.policy.vocabulary import fit
from asrctl.protocol.codes import LACKING, CloseCode, Violation, bad_request
from asrctl.protocol.messages import KeptMessage, Ready, Resume, Start
from asrctl.protocol.session import ServerSession
from asrctl.server.hub import Hub
from asrctl.server.session import Listener, LiveSession, Surroundings
from asrctl.server.session_options import suited
from asrctl.speakers.options import SpeakerOptions

if TYPE_CHECKING:
    from asrctl.speakers.live_process import StreamSpeakers


def open_session(hub: Hub, session_id: str, start: Start, listener: Listener) -> LiveSession:
    """Begin a session that was admitted.

    Raises:
        Violation: It asks for what this server does not have, or is one too many of its kind.
    """
    if (refusal := hub.assign(session_id, start.source)) is not None:
        raise overload(refusal)
    options = suited(hub.options.roomy_stream, start, hub.options.shown)
    window = round(hub.options.window_s * start.format.sample_rate)
    session = LiveSession(
        ServerSession(session_id, secrets.token_urlsafe(32), start, window),
        hub.detector(),
        options,
        hub.engine.recognizer,
        hub.bounds,
        Surroundings(hub.clock, lambda message: hub.said(session, message), _model_names(hub)),
        hub.turns,
        _speakers(hub, start),
    )
    session.listener = listener
    hub.enter(session)
    return session


def _speakers(hub: Hub, start: Start) -> StreamSpeakers | None:
    """What tells the speakers of a session apart, if that is asked for.

    Raises:
        Violation: This server cannot, or they are known.
    """
    if not start.speakers:
        return None
    if start.speaker is not None:
        raise bad_request("there is one speaker, or several speakers")
    if (speakers := hub.speakers) is None:
        raise Violation(CloseCode.BAD_REQUEST, "no_speakers", LACKING)
    return speakers.open(SpeakerOptions(None if start.speakers is True else start.speakers))


def _model_names(hub: Hub) -> dict[str, str]:
    """The models by their providers."""
    main, shown = hub.options.models.main, hub.options.shown
    return {main.spec.provider: main.name, shown.spec.provider: shown.name}


def resume(hub: Hub, request: Resume, listener: Listener) -> tuple[LiveSession, list[KeptMessage]]:
    """Take a session up on another socket; the newest wins.

    Raises:
        Violation: There is no such session, or it is somebody else's.
    """
    session = hub.find(request.session_id)
    if not isinstance(session, LiveSession) or session.failure:
        raise Violation(CloseCode.SESSION_GONE, "session_gone", "there is no such session any more")
    replay = session.state.resume(request)
    older, session.listener, session.detached_s = session.listener, listener, None
    if older is not None:
        older.close(CloseCode.REPLACED, "replaced")
    hub.metrics.resumed.inc()
    hub.journal.note("session.resume", session=request.session_id, replayed=len(replay))
    return session, replay


def ready(hub: Hub, session: LiveSession) -> Ready:
    """What a client is told first."""
    state, options = session.state, hub.options
    return Ready(
        session_id=state.session_id,
        resume_token=state.resume_token,
        audio_offset=state.received,
        resume_ttl_s=options.resume_ttl_s,
        window_samples=state.window_samples,
        limits=options.limits,
        model=hub.engine.model.name,
        provider=hub.engine.model.spec.provider,
        level=hub.ladder.level,
        vocabulary_left_out=fit(state.start.vocabulary or ()).left_out or None,
    )


def detach(hub: Hub, session: LiveSession, listener: Listener) -> None:
    """A socket is gone; the session waits for another, if it was this one's."""
    if session.listener is not listener:
        return
    session.listener, session.detached_s = None, hub.clock()
    if session.state.received == session.state.start.audio_offset and not session.done:
        hub.end(session)  # nothing was sent, so there is nothing to take up


def overload(refusal: Refusal) -> Violation:
    """A refusal that comes after the upgrade."""
    return Violation(CloseCode.OVERLOAD, "overload", refusal.reason, float(refusal.retry_after_s))
