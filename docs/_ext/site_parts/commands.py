"""Every command with its arguments and options, as typer itself writes them."""

from typing import Any

import typer
from typer.cli import get_docs_for_click
from typer.main import get_command

from tosmooth.search.cli.main import app

NAME = "tosmooth"


def commands() -> dict[str, Any]:
    """All commands by their full names: "tosmooth run", "tosmooth data fetch"."""
    found: dict[str, Any] = {}
    groups: dict[str, Any] = {NAME: get_command(app)}
    while groups:
        name, group = groups.popitem()
        for word, command in group.commands.items():
            (groups if hasattr(command, "commands") else found)[f"{name} {word}"] = command
    return found


def documented() -> str:
    """Markdown: a table of the commands, then a section for each."""
    found = commands()
    rows = [f"| [`{name}`](#{name.replace(' ', '-')}) | {_first_sentence(found[name])} |" for name in found]
    table = ["| command | does |", "|---|---|", *rows]
    return "\n".join([*table, "", *(_section(name, command) for name, command in found.items())])


def _section(name: str, command: Any) -> str:
    prefix, _, word = name.rpartition(" ")
    context = typer.Context(command, help_option_names=["-h", "--help"])
    text = get_docs_for_click(obj=command, ctx=context, indent=1, name=word, call_prefix=prefix)
    return text.replace("```console\n$ ", "```text\n")


def _first_sentence(command: Any) -> str:
    words: str = " ".join((command.help or "").split())
    return words.partition(". ")[0].rstrip(".").replace("|", "\\|")
