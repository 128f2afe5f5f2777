"""Completion in the shell: what is offered, by which shell, and what is loaded for it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.search.cli.test_loading import CODE, HEAVY
from tests.search.conftest import Command
from tests.search.tools import TINY, TOSMOOTH
from tosmooth.search.report.suspects.files import FORMATS as LISTS
from tosmooth.search.report.tables import FORMATS as TABLES
from tosmooth.search.spec.loading import shipped_studies
from tosmooth.trainables.data.fetch import FETCHABLE

METHODS = "dataset: {name: mine, noise: [given]}\nmethod: [gls, mixup]\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a study file, and a home that keeps two studies and what is none."""
    (tmp_path / "mine.yaml").write_text(METHODS, encoding="utf-8")
    for name, text in {"tiny": TINY, "mine": METHODS, "damaged": "a: [\n", "odd": "dataset: [1]\nmethod: 3\n"}.items():
        (folder := tmp_path / "home" / "studies" / name).mkdir(parents=True)
        (folder / "study.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "home" / "studies" / "begun").mkdir()
    return tmp_path


def offered(place: Path, line: str, **environment: str) -> list[str]:
    """What bash is told for a line whose cursor is at its end; nothing else is said."""
    words = line.split(" ")
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1), "_TOSMOOTH_COMPLETE": "complete_bash"}
    variables = {**os.environ, "TOSMOOTH_HOME": "home", **asked, **environment}
    done = subprocess.run([TOSMOOTH], cwd=place, env=variables, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


KEPT = ["damaged", "mine", "odd", "tiny"]
LEVELS = ["clean", "symmetric-0.4"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("tosmooth sta", ["status"]),
        ("tosmooth data ", ["fetch", "verify"]),
        ("tosmooth status ", KEPT),
        ("tosmooth status --home nowhere ", []),
        ("tosmooth status t", ["tiny"]),
        ("tosmooth run --prior-study m", ["mine"]),
        ("tosmooth report mine ", ["damaged", "odd", "tiny"]),
        ("tosmooth ui --ho", ["--home", "--host"]),
        ("tosmooth best tiny --level ", LEVELS),
        ("tosmooth best tiny --level=s", ["symmetric-0.4"]),
        ("tosmooth best --level c tiny --level ", LEVELS),
        ("tosmooth analyse tiny --level clean --level ", ["symmetric-0.4"]),
        ("tosmooth predict ./mine.yaml --level ", ["given"]),
        ("tosmooth suspects mine --method ", ["gls", "mixup"]),
        ("tosmooth suspects tiny --method ", ["gls"]),
        ("tosmooth clean nothing --method ", []),
        ("tosmooth clean odd --level ", []),
        ("tosmooth clean damaged --level ", []),
        ("tosmooth export --dataset ", ["mine", "twonorm"]),
        ("tosmooth export --columns ", ["short", "all"]),
        ("tosmooth run ./m", []),  # for which the shell offers files
        ("tosmooth --show-completion p", ["powershell", "pwsh"]),
        ("tosmooth --version status t", ["tiny"]),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)
def test_the_word_at_the_cursor_is_completed(line: str, words: list[str], place: Path) -> None:
    assert offered(place, line) == words


def test_studies_to_run_are_those_of_the_package_and_of_the_home(place: Path) -> None:
    assert offered(place, "tosmooth run ") == sorted({*shipped_studies(), *KEPT})


def test_words_that_are_offered_are_those_that_the_commands_know(place: Path) -> None:
    assert offered(place, "tosmooth export --format ") == list(TABLES)
    assert offered(place, "tosmooth suspects tiny --format ") == list(LISTS)
    assert offered(place, "tosmooth data fetch ") == list(FETCHABLE)


def test_settings_that_a_command_would_refuse_are_not_spoken_of(place: Path) -> None:
    (place / "home" / "tosmooth.toml").write_text("no = 1\n", encoding="utf-8")
    wrong = {"PYTHONWARNINGS": "error", "TOSMOOTH_STORAGE": "@nowhere", "MLFLOW_TRACKING_URI": "folder"}
    assert offered(place, "tosmooth show ", **wrong) == KEPT


@pytest.mark.parametrize("line", ["tosmooth best tiny --level ", "tosmooth run ", "tosmooth data fetch "])
def test_completion_loads_nothing_heavy(line: str, place: Path) -> None:
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(line.count(" ")), "_TOSMOOTH_COMPLETE": "complete_bash"}
    command = [sys.executable, "-c", CODE]
    environment = {**os.environ, **asked, "TOSMOOTH_HOME": "home"}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stderr.splitlines()[-1]))
    assert done.stdout.strip()
    assert loaded & {*HEAVY, "optuna", "pyarrow", "numpy", "pandas", "scipy", "matplotlib"} == set()


def ask_shell(shell: str, script: str, cwd: Path, **environment: str) -> str:
    """What a real shell prints, in which `tosmooth` is this one."""
    path = f"{TOSMOOTH.parent}{os.pathsep}{os.environ['PATH']}"
    variables = {**os.environ, "PATH": path, "TOSMOOTH_HOME": "home", **environment}
    command = [shell, "-c", script]
    return subprocess.run(command, cwd=cwd, env=variables, capture_output=True, text=True, check=True).stdout


def test_bash_completes_after_the_installation(place: Path, command: Command) -> None:
    ask_shell("bash", "tosmooth --install-completion bash", place, HOME=str(place))
    script = "source ~/.bashrc; COMP_WORDS=(tosmooth best tiny --level ''); COMP_CWORD=4"
    script += '; _tosmooth_completion tosmooth; printf "%s\\n" "${COMPREPLY[@]}"; complete -p tosmooth'
    *words, how = ask_shell("bash", script, place, HOME=str(place)).splitlines()
    assert words == LEVELS
    assert how == "complete -o default -F _tosmooth_completion tosmooth"
    assert command("--show-completion", "bash").out.strip() in (place / ".bash_completions" / "tosmooth.sh").read_text()


@pytest.mark.skipif(shutil.which("fish") is None, reason="There is no fish here.")
def test_fish_completes(place: Path) -> None:
    script = "tosmooth --show-completion fish | source; complete -C 'tosmooth best tiny --level '"
    assert ask_shell("fish", script, place, HOME=str(place)).splitlines() == LEVELS


def test_zsh_gets_words_it_can_evaluate(place: Path) -> None:
    asked = {"_TOSMOOTH_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": "tosmooth best tiny --level "}
    answer = '_arguments \'*: :(("clean"\n"symmetric-0.4"))\'\n'
    assert ask_shell("bash", "tosmooth", place, **asked) == answer
    script = ask_shell("bash", "tosmooth --show-completion zsh", place)
    assert script.startswith("#compdef tosmooth\n")


def test_a_shell_that_is_not_known_is_refused(command: Command) -> None:
    code, out, err = command("--show-completion", "tcsh")
    assert (code, out) == (2, "")
    assert "'tcsh' is not one of" in err
