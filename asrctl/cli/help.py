"""How help looks: options in groups, and the exit codes, which are written down here alone."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

EXIT_CODES = """\b
Exit codes:
  0    good
  1    some input failed (the others are written), or an output cannot be written
  2    options or settings make no sense
  3    no such model, or it does not load
  4    the provider cannot run
  5    the server cannot be reached, or was given up on
  70   a bug in asrctl: please report it
  130  interrupted by Ctrl-C or SIGTERM; what was transcribed is written
"""


class GroupedCommand(TyperCommand):
    """A command whose plain help shows options under their panels' names.

    Typer does so only where rich draws the help, which takes twice as long as all the rest.
    """

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
