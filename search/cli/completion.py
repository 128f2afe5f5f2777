"""Completion in the shell: what may stand where the cursor is, read from files alone.

It is asked at every press of a key, so nothing heavy is loaded, and a file that cannot be read offers nothing: the
command itself says what is wrong. Where nothing is offered, the shell offers files.
"""

import logging
import os
from collections.abc import Callable
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.completion import completion_init, install_callback, show_callback  # type: ignore[attr-defined]

from tosmooth.search.settings import SETTINGS
from tosmooth.search.spec.shipped import shipped_file, shipped_studies

ASKED = "_TOSMOOTH_COMPLETE"  # set by the script that the shell has read

Shell = Literal["bash", "zsh", "fish", "powershell", "pwsh"]
Words = list[str]
_Complete = Callable[[typer.Context, str], Words]

# With the shell's name, where typer's own options guess it from the processes above: that fails in a script.
InstallOption = Annotated[
    Shell | None,
    typer.Option(
        "--install-completion",
        metavar="SHELL",
        callback=install_callback,
        expose_value=False,
        show_default=False,
        help="Have bash, zsh, fish or powershell complete commands, studies and levels, from its next start.",
    ),
]
ShowOption = Annotated[
    Shell | None,
    typer.Option(
        "--show-completion",
        metavar="SHELL",
        callback=show_callback,
        expose_value=False,
        show_default=False,
        help="Print the script that does this, to install it another way.",
    ),
]


def completing() -> bool:
    """Prepare for a question of the shell, if this is one: nothing but the answer is said."""
    if ASKED not in os.environ:
        return False
    completion_init()
    logging.disable()
    return True


def studies(context: typer.Context, incomplete: str) -> Words:
    """Studies that can be run: those that come with the package, and those of the home."""
    return sorted({*shipped_studies(), *kept_studies(context, incomplete)})


def kept_studies(context: typer.Context, incomplete: str) -> Words:
    """Studies of the home that were not named before."""
    return _unnamed(context, "studies", sorted(_kept(context)))


def levels(context: typer.Context, incomplete: str) -> Words:
    """Noise levels of the study that was named, which were not named before."""
    return _unnamed(context, "level", _words(_study(context), "dataset", "noise"))


def methods(context: typer.Context, incomplete: str) -> Words:
    """Methods of the study that was named."""
    study = _study(context)
    return _words(study, "method") or (["gls"] if study else [])


def datasets(context: typer.Context, incomplete: str) -> Words:
    """Data sets of the home's studies."""
    return sorted({name for file in _kept(context).values() for name in _words(_read(file), "dataset", "name")})


def one_of(*words: str) -> _Complete:
    """Offer always the same words."""

    def offer(context: typer.Context, incomplete: str) -> Words:
        return list(words)

    return offer


def _unnamed(context: typer.Context, parameter: str, words: Words) -> Words:
    """Leave out what a parameter that takes several words has already."""
    before = context.params.get(parameter)
    return [word for word in words if not isinstance(before, list) or word not in before]


def _kept(context: typer.Context) -> dict[str, Path]:
    """Files of the home's studies by their names."""
    home = Path(context.params.get("home") or SETTINGS["home"].default)
    return {file.parent.name: file for file in home.glob("studies/*/study.yaml")}


def _study(context: typer.Context) -> Any:
    """Content of the study that was named before the cursor: one of the home, of the package, or a file."""
    # Arguments are left over where the line ends in an option without its value, which is what is asked for.
    name = context.params.get("study") or next(iter(context.args), None)
    if name is None:
        return None
    if (kept := _kept(context).get(name)) is not None:
        return _read(kept)
    return _read(shipped_file(name) if name in shipped_studies() else Path(name))


def _read(file: Path | Traversable) -> Any:
    import yaml

    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None


def _words(content: Any, *keys: str) -> Words:
    """One word or several at a place of a study that nobody has checked; none where there is something else."""
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    found = content if isinstance(content, list) else [content]
    return [word for word in found if isinstance(word, str)]
