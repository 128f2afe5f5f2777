"""Write the man page: tosmooth.1, beside this file, from the commands themselves. The wheel installs it.

    python docs/man/write.py

Their texts are what `--help` shows, so a test holds the page to them.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from tosmooth.search.cli.main import app

PAGE = Path(__file__).with_name("tosmooth.1")
EXIT = {
    "0": "The command did what it was asked to do.",
    "1": "An answer is missing, or a check failed: a row without a completed trial, a finding of doctor.",
    "2": "The input was wrong: the message names the key or file, the value and the rule. Or data verify found damage.",
    "130": "Stopped by Ctrl-C or SIGTERM. What ended is kept.",
}


def page() -> str:
    """Text of the page, in the man macros of roff."""
    root: Any = typer.main.get_command(app)
    lines = ['.TH TOSMOOTH 1 "" "tosmooth" "User commands"', ".SH NAME", f"tosmooth \\- {_text(_name_line(root.help))}"]
    lines += [".SH SYNOPSIS", ".B tosmooth", "[\\fIoptions\\fR] \\fIcommand\\fR [\\fIarguments\\fR]"]
    lines += [".SH DESCRIPTION", _text(root.help), ".SH OPTIONS", *_parameters(root)]
    lines.append(".SH COMMANDS")
    for path, command in _commands("tosmooth", root):
        lines += [f".SS {_text(' '.join([path, *_usage(command)]))}", _text(command.help), *_parameters(command)]
    lines.append(".SH EXIT STATUS")
    for code, meaning in EXIT.items():
        lines += [".TP", f".B {code}", _text(meaning)]
    return "\n".join(lines) + "\n"


def _name_line(words: str) -> str:
    """First part of a text, as `whatis` shows it."""
    found = words.partition(":")[0]
    return found[0].lower() + found[1:]


def _commands(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(f"{path} {name}", command)
        else:
            yield f"{path} {name}", command


def _arguments(command: Any) -> list[Any]:
    return [each for each in command.params if each.param_type_name == "argument"]


def _usage(command: Any) -> list[str]:
    words = [(each.metavar or each.name).upper() for each in _arguments(command)]
    return [word if each.required else f"[{word}]" for word, each in zip(words, _arguments(command), strict=True)]


def _parameters(command: Any) -> list[str]:
    """Arguments and options, a tagged paragraph each."""
    lines = []
    for each in command.params:
        if each.param_type_name == "argument":
            lines += [".TP", f"\\fI{_text((each.metavar or each.name).upper())}\\fR", _text(each.help or "")]
            continue
        names = ", ".join(f"\\fB{_text(name)}\\fR" for name in sorted(each.opts, key=len))
        value = "" if each.is_flag else f" \\fI{_text(each.metavar or each.name.upper().replace('_', '-'))}\\fR"
        lines += [".TP", f"{names}{value}", _text(" ".join(filter(None, [each.help, *_facts(each)])))]
    return lines


def _facts(option: Any) -> Iterator[str]:
    """Default and environment variables of an option."""
    default = option.show_default if isinstance(option.show_default, str) else option.default
    if not option.is_flag and option.show_default and default is not None and not callable(default):
        yield f"Default: {default}."
    if option.envvar:
        names = [option.envvar] if isinstance(option.envvar, str) else option.envvar
        yield f"Environment: {', '.join(names)}."


def _text(words: str) -> str:
    """Escape what roff would take for its own."""
    escaped = re.sub(r"\s+", " ", words).strip().replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
