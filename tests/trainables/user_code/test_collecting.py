"""Collected is what a reference reaches beside a study, by imports; nothing of it is executed meanwhile."""

import os
import re
import sys
from pathlib import Path

import pytest

from tests.tools import set_traps, sprung
from tests.trainables.user_code.conftest import Write
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.user_code import UserCode, check_reference, collect, differences
from tosmooth.trainables.user_code.archive import LARGEST

MAKE = "def make(shape, classes):\n    return None\n"
KEY = "network.factory"


def of(folder: Path, reference: str = "models:make") -> UserCode:
    return collect({KEY: reference}, folder)


def refusal(folder: Path | None, reference: str = "models:make") -> str:
    with pytest.raises(InputError) as caught:
        collect({KEY: reference}, folder)
    return str(caught.value)


@pytest.mark.parametrize("text", ["models:make", "a.b.c:D.e", "modèle:faire", "_m:_", "m1:T"])
def test_a_reference_is_a_module_and_a_name_in_it(text: str) -> None:
    check_reference(text, KEY)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("models.make", "models:make"),
        ("models.py:make", "models:make"),
        ("./models.py:make", "models:make"),
        ("nets/models.py:make", "nets.models:make"),
        ("nets/models:make", "nets.models:make"),
        ("models", None),
        ("models:", None),
        (":make", None),
        ("", None),
        (":", None),
        ("models:make()", None),
        ("models:make:more", None),
        ("models:1", None),
        ("models: make", None),
        ("..models:make", None),
        ("models:class", None),
        ("models:lambda x: x", None),
        ("C:\\models.py:make", None),
        ("models\n:make", None),
    ],
)
def test_what_is_no_reference_is_refused_and_a_path_is_answered(text: str, meant: str | None) -> None:
    with pytest.raises(InputError, match=re.escape(f"{KEY}: {text!r} is refused: a module, a colon")) as caught:
        check_reference(text, KEY)
    assert ("did you mean" in str(caught.value)) == (meant is not None)
    assert meant is None or str(caught.value).endswith(f"did you mean {meant}?")


def test_a_module_of_pythons_own_is_refused() -> None:
    with pytest.raises(InputError, match="Python has a module code itself: give yours another name"):
        check_reference("code:make", KEY)


def test_files_are_taken_that_imports_reach_and_no_others(write: Write) -> None:
    sources = {
        "models.py": "import layers\nfrom nets import deep\nimport numpy, os.path\n" + MAKE,
        "layers.py": "def f():\n    try:\n        import late\n    except ImportError:\n        pass\n",
        "late.py": "",
        "nets/__init__.py": "from .wide import Wide\n",
        "nets/deep.py": "from . import parts\nfrom ..outside import never\nfrom .blocks.one import x\n",
        "nets/parts.py": "import models\n",
        "nets/wide.py": "from .. import beyond\nWide = 1\n",
        "nets/unused.py": "",
        "nets/blocks/one.py": "x = 1\n",  # in a folder without __init__.py
        "plain.py": "",
        "study.yaml": "",
    }
    found = of(write(sources))
    reached = set(sources) - {"nets/unused.py", "plain.py", "study.yaml"}
    assert set(found.files) == reached
    assert found.sources["nets/deep.py"] == sources["nets/deep.py"].encode()
    assert found.names == {"models", "layers", "late", "nets"}
    assert found.notes == ()


def test_imports_by_a_text_and_of_all_inside_are_followed(write: Write) -> None:
    folder = write(
        {
            "models.py": "import importlib\nimportlib.import_module('one')\n__import__('two')\nfrom nets import *\n",
            "one.py": "",
            "two.py": "",
            "nets/__init__.py": "from importlib import import_module\nimport_module('.hidden.deep', __package__)\n",
            "nets/a.py": "",
            "nets/hidden/__init__.py": "",
            "nets/hidden/deep.py": "",
        }
    )
    assert set(of(folder).files) == {path.relative_to(folder).as_posix() for path in folder.rglob("*.py")}


def test_nothing_is_executed_and_modules_that_are_not_named_are_not_looked_at(write: Write, tmp_path: Path) -> None:
    folder = write({"models.py": f"import records\nopen({str(tmp_path / 'mark')!r}, 'w')\nimport select\n{MAKE}"})
    mark = set_traps(folder)
    (folder / "search.py").write_text("no Python at all")
    found = of(folder)
    assert set(found.files) == {"models.py", "records.py"}
    assert found.notes == ("models.py imports select: that is Python's own, not the module of that name beside it",)
    assert sprung(mark) == []
    assert not (tmp_path / "mark").exists()


def test_an_import_means_what_is_installed_where_a_file_has_the_same_name(write: Write) -> None:
    found = of(write({"models.py": "import torch.nn\nfrom tosmooth import x\n", "torch.py": "", "tosmooth.py": ""}))
    assert set(found.files) == {"models.py"}
    note = r"models.py imports torch: that is installed, at .*torch.__init__.py, not the module of that name beside it"
    assert re.fullmatch(note, found.notes[0])


def test_a_reference_to_a_name_that_is_also_installed_is_refused(write: Write) -> None:
    said = refusal(write({"torch.py": MAKE}), "torch:make")
    assert said.startswith(f"{KEY}: 'torch:make' is refused: torch is also installed, at ")
    assert said.endswith("give yours another name")


def test_a_module_in_the_folder_is_no_installed_one_though_python_looks_there(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write({"models.py": MAKE, "nets/__init__.py": MAKE})
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    assert set(of(folder).files) == {"models.py"}
    assert set(of(folder, "nets:make").files) == {"nets/__init__.py"}


def test_an_installed_package_is_known_by_its_files(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = write({"study.yaml": ""})
    site = write({"nets/__init__.py": "raise SystemExit\n", "nets/models.py": MAKE, "nets/other.py": ""}, "site")
    monkeypatch.syspath_prepend(site)
    found = of(mine, "nets.models:make")
    assert list(found.files) == ["nets (installed)"]
    assert not found.sources
    assert of(mine, "nets.models:make").digest == found.digest == collect({KEY: "nets.models:make"}, None).digest
    (site / "nets/other.py").write_text("changed = 1\n")
    changed = of(mine, "nets.models:make")
    assert differences(found, changed) == ["code changed: nets (installed)"]
    assert "nets" not in sys.modules
    assert f"there is no module nets.none in {mine}, nor installed" in refusal(mine, "nets.none:make")


def test_installed_packages_that_many_have_can_be_named() -> None:
    found = collect({KEY: "torchvision.models:resnet18"}, None)
    assert list(found.files) == ["torchvision (installed)"]


def test_a_module_that_is_not_there_is_one_message(write: Write) -> None:
    folder = write({"models/notes.txt": "", "Other.py": "", "gone.py": ""})
    (folder / "link.py").symlink_to(folder / "nowhere.py")
    os.mkfifo(folder / "pipe.py")
    for reference in ("models:make", "models.inner:make", "other:make", "link:make", "pipe:make", "gone.inner:make"):
        module = reference.partition(":")[0]
        said = f"{KEY}: {reference!r} is refused: there is no module {module} in {folder}, nor installed"
        assert refusal(folder, reference) == said
    assert refusal(None) == f"{KEY}: 'models:make' is refused: there is no module models installed"


def test_links_and_other_alphabets_and_encodings_are_followed(write: Write, tmp_path: Path) -> None:
    shared = write({"real.py": MAKE}, "shared")
    folder = write(
        {
            "modèle.py": "# -*- coding: latin-1 -*-\nimport größe\nname = 'é'\n".encode("latin-1"),
            "größe.py": b"\xef\xbb\xbfx = 1\n",
        }
    )
    (folder / "linked.py").symlink_to(shared / "real.py")
    assert set(of(folder, "modèle:make").files) == {"modèle.py", "größe.py"}
    assert set(of(folder, "linked:make").files) == {"linked.py"}
    (folder / "nu\u0301mero.py").write_text(MAKE)  # as macOS writes the name
    assert set(of(folder, "número:make").files) == {"número.py"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("x = 1\ndef f(:\n", "layers.py:2: is no Python"),
        (b"x = '\xff'\n", "layers.py:1: is no Python"),
        (b"x = 1\0\n", "layers.py"),
        ("# coding: nonsense\n", "layers.py"),
        ("x = " + "(" * 5000, "layers.py"),
        ("print 'old'\n", "layers.py:1: is no Python"),
    ],
)
def test_a_file_that_is_no_python_is_named_with_its_line(write: Write, content: str | bytes, said: str) -> None:
    assert f"{KEY} 'models:make': {said}" in refusal(write({"models.py": "import layers\n", "layers.py": content}))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(write: Write) -> None:
    folder = write({"models.py": MAKE})
    (folder / "models.py").chmod(0)
    assert "models.py: cannot be read (Permission denied)" in refusal(folder)


def test_more_than_code_is_refused(write: Write) -> None:
    folder = write({"models.py": "import table\n", "table.py": "x = 1\n" * (LARGEST // 6 + 1)})
    assert f"{KEY} 'models:make': table.py: is refused: more than 10 MB of code" in refusal(folder)


def test_warnings_of_the_users_code_are_none_of_ours(write: Write, recwarn: pytest.WarningsRecorder) -> None:
    of(write({"models.py": r"x = '\d'" + "\n" + MAKE}))
    assert not recwarn.list


def test_the_digest_is_of_names_and_contents(write: Write) -> None:
    found = of(write({"models.py": "import a\n" + MAKE, "a.py": ""}))
    same = of(write({"models.py": "import a\n" + MAKE, "a.py": "", "b.py": ""}, "again"))
    assert (found.digest, found.archive) == (same.digest, same.archive)
    assert differences(found, same) == differences(None, None) == []
    other = of(write({"models.py": "import b\n" + MAKE, "b.py": ""}, "other"))
    assert other.digest != found.digest
    assert differences(found, other) == ["code changed: models.py", "code added: b.py", "code gone: a.py"]
    assert differences(None, found) == ["code added: a.py, models.py"]


def test_an_archive_is_read_back_and_a_damaged_one_is_refused(write: Write) -> None:
    found = of(write({"nets/__init__.py": "", "nets/models.py": MAKE}), "nets.models:make")
    assert UserCode.from_archive(found.archive, "code.zip") == found
    for damaged in (b"", found.archive[:-30], b"PK" + bytes(100), found.archive.replace(b"models.py", b"../els.py")):
        with pytest.raises(InputError, match=r"^code\.zip: damaged \("):
            UserCode.from_archive(damaged, "code.zip")
