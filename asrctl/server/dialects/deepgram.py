"""Deepgram's live `/v1/listen`: who comes in, and how."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from starlette.responses import JSONResponse, Response

from asrctl.protocol.deepgram.errors import error_body, error_headers
from asrctl.protocol.deepgram.live import DeepgramLive
from asrctl.protocol.deepgram.query import live_options
from asrctl.protocol.openai.errors import RequestRefused
from asrctl.protocol.openai.models import Served
from asrctl.server.dialects.door import Handshake, Welcome
from asrctl.server.files.listen import origin_of
from asrctl.server.gate import Denial
from asrctl.server.hub import Hub

_SCHEMES = ("token", "bearer")


class DeepgramEntrance:
    """Clients are let in when there is a place, which they take with their first audio."""

    name = "deepgram"
    paths: tuple[str, ...] = ("/v1/listen", "/v1/listen/")
    max_message_bytes: int | None = None

    def __init__(self, hub: Hub) -> None:
        self._clock = hub.clock
        main, shown = hub.options.models.main, hub.options.shown
        others = (main.name, hub.engine.model.name)
        self._served = Served(
            shown.name, shown.multilingual, others=others, speakers=hub.speakers is not None
        )

    def keys(self, handshake: Handshake) -> Sequence[str]:
        """Browsers offer the scheme and the key as two subprotocols."""
        offered = handshake.subprotocols
        return [key for scheme, key in pairwise(offered) if scheme in _SCHEMES]

    def greet(self, handshake: Handshake, denial: Denial | None) -> Welcome | Denial:
        """The first subprotocol is answered: a browser closes the socket otherwise."""
        if denial is not None:
            return denial
        try:
            options = live_options(handshake.query.multi_items(), self._served)
        except RequestRefused as refused:
            return Denial(refused.status, "request", refused.message)
        origin = origin_of(self._served.name)
        headers = {"dg-request-id": origin.request_id, "x-asrctl-model": origin.model, **(options.told or {})}
        dialect = DeepgramLive(options, origin, self._clock)
        return Welcome(dialect, next(iter(handshake.subprotocols), None), headers)

    def deny(self, denial: Denial) -> Response:
        """In a body as over HTTP, and in a header, which more clients see."""
        refusal = RequestRefused(denial.status, denial.reason, denial.message, headers=denial.headers)
        request_id = origin_of(self._served.name).request_id
        body, headers = error_body(refusal, request_id), error_headers(refusal, request_id)
        return JSONResponse(body, denial.status, dict(headers))
