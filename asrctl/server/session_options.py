"""What a client wishes for its session, within what the server has."""

from __future__ import annotations

from dataclasses import replace

from asrctl.errors import UsageError
from asrctl.languages import AUTO, check_language
from asrctl.policy.pacing import PacingOptions
from asrctl.policy.vocabulary import checked_terms, fit
from asrctl.protocol.codes import bad_request
from asrctl.protocol.dialect import SessionRequest
from asrctl.protocol.endpointing import Endpointing
from asrctl.protocol.messages import Start
from asrctl.server.options import NamedModel
from asrctl.streaming.stream import StreamOptions


def request_of(start: Start) -> SessionRequest:
    """A `start` of ours as what sessions of all protocols have. Raises UsageError for terms that are none."""
    return SessionRequest(
        encoding=start.format.encoding,  # type: ignore[arg-type]
        sample_rate_hz=start.format.sample_rate,
        channels=start.format.channels,
        source=start.source,  # type: ignore[arg-type]
        language=start.language,
        prompt=start.prompt,
        vocabulary=checked_terms(start.vocabulary or ()),
        partials=start.partials,
        endpointing=start.endpointing,
    )


def suited(options: StreamOptions, start: Start, model: NamedModel) -> StreamOptions:
    """The server's options as a session of `asrctl.v1` wants them.

    Raises:
        Violation: It asks for what this server does not have.
    """
    if start.model not in (None, model.name):
        raise bad_request(f"this server has no model {start.model!r}: it serves {model.name}")
    try:
        suit = fitted(options, request_of(start), model)
        return replace(suit, pacing=_pacing(suit.pacing, start.partial_interval_s))
    except UsageError as error:
        raise bad_request(str(error)) from None


def fitted(options: StreamOptions, request: SessionRequest, model: NamedModel) -> StreamOptions:
    """The server's options as a session wants them.

    Raises:
        UsageError: It asks for what this server does not have.
    """
    decode = options.decode
    language = request.language if request.language != AUTO else decode.language
    language = check_language(language, multilingual=model.multilingual, model=model.name)
    told = replace(
        decode,
        language=language,
        prompt=request.prompt or decode.prompt,
        vocabulary=fit(request.vocabulary).kept or decode.vocabulary,
    )
    wish = request.endpointing or Endpointing()
    return replace(
        options,
        decode=told,
        endpointing=wish.applied(options.endpointing),
        turn=wish.turn(options.turn),
    )


def _pacing(options: PacingOptions | None, interval_s: float | None) -> PacingOptions | None:
    if options is None or interval_s is None:
        return options
    return replace(options, interval_s=interval_s, max_interval_s=max(options.max_interval_s, interval_s))
