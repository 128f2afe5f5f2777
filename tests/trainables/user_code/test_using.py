"""Collected code is imported from where it was unpacked, each study's own; what goes wrong is one message."""

import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainables.user_code.conftest import Write
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.user_code import UserCode, collect, resolve, use

KEY = "network.factory"


def of(folder: Path, reference: str = "my_models:make") -> UserCode:
    return collect({KEY: reference}, folder)


def refusal(reference: str = "my_models:make") -> str:
    with pytest.raises(InputError) as caught:
        resolve(reference, KEY)
    return str(caught.value)


def test_it_is_imported_from_the_cache_and_found_by_processes_that_it_starts(write: Write, tmp_path: Path) -> None:
    source = "import my_layers\nclass Nets:\n    @staticmethod\n    def make():\n        return my_layers.x\n"
    folder = write({"my_models.py": source, "my_layers.py": "x = 7\n"})
    use(of(folder, "my_models:Nets.make"), tmp_path / "cache")
    make = resolve("my_models:Nets.make", KEY)
    assert make() == 7
    module = sys.modules["my_models"]
    assert module.__file__ is not None
    assert Path(module.__file__).is_relative_to(tmp_path / "cache")
    assert inspect.getsource(module) == source
    code = f"import sys; sys.path[:] = {sys.path!r}; import my_models; print(my_models.Nets.make())"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("7\n", "")


def test_studies_with_other_versions_of_a_module_do_not_mix(write: Write, tmp_path: Path) -> None:
    first = of(write({"my_models.py": "import my_layers\ndef make(): return my_layers.x\n", "my_layers.py": "x = 1\n"}))
    second = of(write({"my_layers.py": "x = 2\n"}))
    for code, value in ((first, 1), (second, 2), (first, 1), (first, 1)):
        use(code, tmp_path / "cache")
        assert resolve("my_models:make", KEY)() == value
        assert sum("my_layers" in place or str(tmp_path) in place for place in sys.path) == 1
    again = resolve("my_models:make", KEY)
    use(first, tmp_path / "cache")
    assert resolve("my_models:make", KEY) is again  # nothing is imported twice


def test_a_module_of_that_name_in_the_users_folder_is_not_taken_instead(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write({"my_models.py": "def make(): return 1\n"})
    code = of(folder)
    write({"my_models.py": "def make(): return 2\n"})
    monkeypatch.syspath_prepend(folder)
    assert importlib.import_module("my_models").make() == 2
    use(code, tmp_path / "cache")
    assert resolve("my_models:make", KEY)() == 1


def test_code_that_is_in_use_is_collected_again_as_it_lies_there_now(write: Write, tmp_path: Path) -> None:
    folder = write({"my_models.py": "import my_layers\ndef make(): return 1\n", "my_layers.py": ""})
    first = of(folder)
    use(first, tmp_path / "cache")
    assert of(folder) == first  # its own copy is no installed module of that name
    write({"my_models.py": "def make(): return 2\n"})
    use(of(folder), tmp_path / "cache")
    assert resolve("my_models:make", KEY)() == 2


def test_what_was_changed_in_the_cache_is_made_anew(write: Write, tmp_path: Path) -> None:
    code = of(write({"my_models.py": "def make(): return 1\n"}))
    place = tmp_path / "cache" / "code" / code.digest[:32] / "my_models.py"
    place.parent.mkdir(parents=True)
    place.write_text("def make(): return 2\n")
    use(code, tmp_path / "cache")
    assert resolve("my_models:make", KEY)() == 1


def test_without_a_cache_it_is_unpacked_for_this_process_alone(write: Write) -> None:
    folder = write({"my_models.py": "def make(): return __file__\n"})
    script = (
        "import pathlib\nfrom tosmooth.trainables.user_code import *\n"
        f"use(collect({{'k': 'my_models:make'}}, pathlib.Path({str(folder)!r})))\n"
        "place = resolve('my_models:make', 'k')()\nassert pathlib.Path(place).exists()\nprint(place)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not Path(done.stdout.strip()).exists()


def test_an_installed_package_of_another_version_is_refused(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = write({"my_nets.py": "def make(): return 3\n"}, "site")
    with monkeypatch.context() as context:
        context.syspath_prepend(site)
        code = of(tmp_path, "my_nets:make")
        use(code)
        assert resolve("my_nets:make", KEY)() == 3
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "Finder"]
    with pytest.raises(InputError, match=r"^code: my_nets is not installed here"):
        use(code)
    (site / "my_nets.py").write_text("def make(): return 4\n")
    monkeypatch.syspath_prepend(site)
    with pytest.raises(InputError, match=r"^code: my_nets is another version here, at "):
        use(code)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import my_layers\n", "importing it raised ValueError: bad layers (my_layers.py:2)"),
        ("\nimport nowhere\n", "importing it raised ModuleNotFoundError: No module named 'nowhere' (my_models.py:2)"),
        ("import sys\nsys.exit(3)\n", "importing it raised SystemExit: 3 (my_models.py:2)"),
        ("raise SystemExit\n", "importing it raised SystemExit (my_models.py:1)"),
        ("import json\njson.loads('{')\n", "importing it raised JSONDecodeError: Expecting property name"),
        ("class E(BaseException): pass\nraise E('a\\nb')\n", "importing it raised E: a (my_models.py:2)"),
        (
            "import argparse\nargparse.ArgumentParser().parse_args(['--no'])\n",
            "importing it raised SystemExit: 2 (my_models.py:2)",
        ),
        ("def make(): eval('1 +')\nmake()\n", "importing it raised SyntaxError: invalid syntax (<string>:1)"),
    ],
)
def test_what_importing_raises_is_one_message_with_the_users_line(
    write: Write, tmp_path: Path, source: str, said: str
) -> None:
    use(of(write({"my_models.py": source, "my_layers.py": "\nraise ValueError('bad layers')\n"})), tmp_path / "cache")
    assert refusal().startswith(f"{KEY} 'my_models:make': {said}")


def test_ctrl_c_while_it_is_imported_is_passed_on(write: Write, tmp_path: Path) -> None:
    use(of(write({"my_models.py": "raise KeyboardInterrupt\n"})), tmp_path / "cache")
    with pytest.raises(KeyboardInterrupt):
        resolve("my_models:make", KEY)


def test_what_is_not_there_or_cannot_be_called_is_refused(write: Write, tmp_path: Path) -> None:
    use(of(write({"my_models.py": "class A: x = 3\nmake = 5\n"})), tmp_path / "cache")
    assert refusal() == f"{KEY}: 'my_models:make' is refused: a function or a class; it is of type int"
    assert refusal("my_models:A.y") == f"{KEY}: 'my_models:A.y' is refused: my_models.A has no 'y'"
    assert resolve("my_models:A", KEY).__name__ == "A"


def test_an_import_of_code_that_is_not_in_use_is_one_message() -> None:
    said = refusal("never_collected:make")
    assert said.startswith(f"{KEY} 'never_collected:make': importing it raised ModuleNotFoundError: ")
