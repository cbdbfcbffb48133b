"""The options of `asrctl serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from asrctl.cli.model_options import model, provider

Host = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Address to listen on (default 127.0.0.1).")
]
Port = Annotated[
    int | None,
    typer.Option(metavar="PORT", min=0, max=65_535, help="TCP port (default 8765); 0 takes a free one."),
]
Node = Annotated[
    str | None, typer.Option(metavar="NAME", help="Node name, for session IDs, log and metrics.")
]
Wyoming = Annotated[
    int | None,
    typer.Option(
        "--wyoming",
        metavar="PORT",
        min=0,
        max=65_535,
        help="Serve Home Assistant's protocol on this TCP port too, such as 10300; 0 takes a free one.",
    ),
]
Zeroconf = Annotated[
    bool | None,
    typer.Option("--zeroconf", help="Announce that port on the local network, for Home Assistant to find."),
]
Page = Annotated[
    bool | None, typer.Option("--page/--no-page", help="Serve the page for browsers at / (default: yes).")
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in a browser.")]
MaxSessions = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=1,
        max=1000,
        help="Sessions at once (default 10, on one core 5; fewer where the model is too slow for as many).",
    ),
]
ApiKey = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        envvar="ASRCTL_API_KEY",
        help="API key that clients must send; safer in the variable, since `ps` shows arguments.",
    ),
]
Insecure = Annotated[
    bool, typer.Option("--insecure", help="Listen on other addresses than loopback without an API key.")
]
AllowOrigin = Annotated[
    list[str] | None,
    typer.Option(metavar="ORIGIN", help="Web origin that may connect, such as https://example.org."),
]
TlsCert = Annotated[
    Path | None, typer.Option(metavar="FILE", help="PEM certificate chain, to serve wss:// and https://.")
]
TlsKey = Annotated[
    Path | None, typer.Option(metavar="FILE", help="PEM private key, if it is not in the same file.")
]
SmallModel = Annotated[str | None, model("Model to use under load; auto takes a smaller one that is there.")]
FallbackModel = Annotated[str | None, model("Model to use if the main one fails.")]
FallbackProvider = Annotated[str | None, provider("Provider of the fallback model.")]
Language = Annotated[
    str | None,
    typer.Option(
        "--language",
        "-l",
        metavar="CODE",
        help="Default language for clients that send none; 'auto' detects it, en,es chooses between these.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, max=1024, help="Threads of each worker (default: all cores)."),
]
Workers = Annotated[
    int | None, typer.Option(metavar="N", min=1, max=64, help="Worker processes; each loads the model.")
]
EndpointSilence = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0.05,
        max=10.0,
        help="A pause this long ends an utterance, where a client does not say (default 0.5).",
    ),
]
EndOfTurn = Annotated[
    bool | None,
    typer.Option(
        "--end-of-turn/--no-end-of-turn",
        help="Hear whether a sentence is finished, and wait less if it is (extra turn; default: no).",
    ),
]
Grace = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        min=0,
        max=3600,
        help="When it is stopped, wait so long for the text of utterances that have ended (default 10); "
        "then sessions are closed. Clients are told at once, and nobody new is let in.",
    ),
]
