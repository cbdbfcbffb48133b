"""The commands, and how their help looks: options in groups, and the exit codes, written down here alone."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from asrctl.errors import INTERRUPTED, UsageError

COMMANDS: Mapping[str, str] = {
    "transcribe": "Transcribe audio files, standard input, or live audio.",
    "detect": "Measure this machine and write a config that suits it.",
    "serve": "Serve live audio, files over HTTP, and a page for browsers.",
    "bench": "Measure: speed, cold start, live latency.",
    "config": "Show the settings in force.",
    "models": "List, fetch, check and remove models.",
    "deploy": "Write files for running a server: container, systemd, cluster, monitoring.",
}
"""Each command in a line. Its module in this room has its name, and an `app`."""

_SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
_OF_COMPLETION = {
    "--install-completion": "Install completion for the shell in use, or the one that is named behind it.",
    "--show-completion": "Print it instead: for the shell in use, or bash, zsh, fish, powershell.",
}

EXIT_CODES = """\b
Exit codes:
  0    success
  1    some input failed (the others are written), or an output cannot be written
  2    invalid options or settings, or a package that an option needs is missing
  3    model not found, or it does not load
  4    the provider cannot run, or is not installed
  5    the server cannot be reached, or was given up on
  70   a bug in asrctl: please report it
  130  interrupted by Ctrl-C, SIGTERM or SIGHUP; what was transcribed is written
"""


class GroupedCommand(TyperCommand):
    """A command whose plain help shows options under their panels' names.

    Typer does so only where rich draws the help, which takes twice as long as all the rest.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Files whose names look like options are told how they are written; `-o.wav` would be an output.

        Raises:
            UsageError: There is such a file, or a number is none.
        """
        known = {option for parameter in self.get_params(ctx) for option in parameter.opts}
        given = [arg for arg in args[: [*args, "--"].index("--")] if arg[:1] == "-" and arg not in known]
        if files := [arg for arg in given if os.path.isfile(arg)]:
            raise UsageError(f"{files[0]} looks like an option: write ./{files[0]} if the file is meant")
        rest = super().parse_args(ctx, args)
        for parameter in self.get_params(ctx):
            value = ctx.params.get(parameter.name)
            if isinstance(value, float) and not math.isfinite(value):  # a range may let it in
                raise UsageError(f"{parameter.opts[0]}: {value:g} is not a finite number")
        return rest

    def invoke(self, ctx: Any) -> Any:
        """An interrupt that comes before there is anything to say of it is said, too."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            print(INTERRUPTED, file=sys.stderr)
            raise

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Called when help is drawn."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                argument = parameter.param_type_name == "argument"
                panel = getattr(parameter, "rich_help_panel", None)
                groups.setdefault("Arguments" if argument else panel or "Options", []).append(record)
        groups["Options"] = groups.pop("Options", [])  # the rest comes last
        for title, records in groups.items():
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Commands(TyperGroup):
    """All commands, of which only the one that is asked for is imported: the others would double the time."""

    commands: dict[str, Any]

    def __init__(self, **given: Any) -> None:
        """Names without commands at first."""
        super().__init__(**given)
        self.commands = {**dict.fromkeys(COMMANDS), **self.commands}

    def main(self, *args: Any, **options: Any) -> Any:
        """A shell that asks what a word may become is a command line too."""
        if os.environ.get("_ASRCTL_COMPLETE") == "complete_bash":
            from asrctl.cli.completion import join_values

            join_values(os.environ)
        return super().main(*args, **options)

    def get_params(self, ctx: Any) -> list[Any]:
        """Typer's options for completion, with a help that says that a shell may be named."""
        parameters = super().get_params(ctx)
        for parameter in parameters:
            if (text := _OF_COMPLETION.get(parameter.opts[0])) is not None:
                parameter.help = text  # type: ignore[attr-defined]
        return parameters

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """`--show-completion zsh`: typer's own option takes no value, but asks which shell started it."""
        if len(args) == 2 and args[0] in _OF_COMPLETION:
            from typer.completion import install_callback, show_callback

            option, shell = args
            if shell not in _SHELLS:
                raise UsageError(f"{option}: no shell called {shell!r}; known are {', '.join(_SHELLS)}")
            (show_callback if option == "--show-completion" else install_callback)(ctx, None, shell)  # type: ignore[arg-type]
        return super().parse_args(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One of them; None if there is none of that name."""
        if self.commands.get(cmd_name) is None and cmd_name in COMMANDS:
            self.commands[cmd_name] = get_command(import_module(f"asrctl.cli.{cmd_name}").app)
            self.commands[cmd_name].name = cmd_name
        return self.commands.get(cmd_name)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Called when help is drawn."""
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])
