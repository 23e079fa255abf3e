"""The group of commands. A command is imported when it runs, because LiteLLM takes seconds to import."""

from __future__ import annotations

from importlib import import_module

import click

from litellm_image_analysis import __version__

_COMMANDS = {
    "doctor": "Check a proxy's config and name what to change.",
    "explain": "Show what image analysis would do with a request.",
    "eval": "Measure how faithfully vision models report pictures.",
}
"""Each command with its line in the list of commands. Its module is ``<name>/command.py``."""

_PACKAGES = {"eval": "evaluate"}
"""The packages of commands that have another name."""


class _Commands(click.Group):
    """Commands that are imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"{__package__}.{_PACKAGES.get(cmd_name, cmd_name)}.command").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


_EPILOG = """\b
Exit codes: 0 nothing is wrong
            1 something is wrong
            2 the command was called in a wrong way
"""


@click.command(cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="litellm-image-analysis %(version)s")
def commands() -> None:
    """Image understanding for LiteLLM: check a gateway, see what happens to a request, measure vision models."""
