"""The worked examples of docs/development/adding-*.md: their blocks are applied to a copy, and their commands run.

A `diff` block names its file in the line `+++ FILE` and has parts that begin with `@@`: lines that stay (a blank before
them), go (-) and come (+). Blocks of Python and YAML that begin with `# FILE` become that file. `bash` blocks are run.
"""

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

PAGES = ROOT / "docs" / "development"
BUILT_IN = ("adding-a-method", "adding-a-dataset", "adding-a-network")  # the pages that change files of ours
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
COPIED = ("trainables", "search", "studies", "tosmooth")


class Example:
    """The blocks of a page, in a folder of their own."""

    def __init__(self, page: str, folder: Path) -> None:
        self.folder = folder
        self.blocks: list[tuple[str, str]] = FENCE.findall((PAGES / f"{page}.md").read_text(encoding="utf-8"))

    def copy_packages(self) -> None:
        """Put a copy of the packages and their tests into the folder."""
        ignore = shutil.ignore_patterns("__pycache__")
        for name in COPIED:
            shutil.copytree(ROOT / name, self.folder / name, symlinks=True, ignore=ignore)
        for path in (ROOT / "tests").glob("*.py"):
            self.put(f"tests/{path.name}", path.read_text(encoding="utf-8"))
        shutil.copytree(ROOT / "tests" / "trainables", self.folder / "tests" / "trainables", ignore=ignore)
        self.put("pyproject.toml", (ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    def put(self, name: str, text: str) -> None:
        """Write a file of the folder."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def apply(self) -> list[str]:
        """Apply every diff and write every file of the page; return the names of the files."""
        touched = []
        for kind, text in self.blocks:
            if kind == "diff":
                touched.append(self._patch(text))
            elif kind in ("python", "yaml") and (named := re.match(r"# (\S+\.(?:py|yaml))\n", text)):
                self.put(named[1], text)
                touched.append(named[1])
        return touched

    def commands(self) -> list[str]:
        """Commands of the page, in their order."""
        return [line for kind, text in self.blocks if kind == "bash" for line in text.replace("\\\n", "").splitlines()]

    def run(self, command: str) -> str:
        """Run a command in the folder, with what was put there before what is installed; return all that it printed."""
        beside = str(Path(sys.executable).parent)
        environment = os.environ | {"PATH": f"{beside}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": "."}
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def _patch(self, text: str) -> str:
        first, *parts = re.split(r"^@@\n", text, flags=re.M)
        name = first.removeprefix("+++ ").strip()
        found = (self.folder / name).read_text(encoding="utf-8")
        for part in parts:
            lines = part.splitlines(keepends=True)
            assert all(line[0] in " +-\n" for line in lines), f"{name}: a line of a diff begins with a blank, + or -"
            before = "".join(line[1:] or "\n" for line in lines if line[0] != "+")
            after = "".join(line[1:] or "\n" for line in lines if line[0] != "-")
            assert found.count(before) == 1, f"{name} has this {found.count(before)} times, not once:\n{before}"
            found = found.replace(before, after)
        (self.folder / name).write_text(found, encoding="utf-8")
        return name


def accuracies(printed: str) -> list[float]:
    """Test accuracies of the epochs that `python -m tosmooth.trainables` printed."""
    return [float(line.split()[5]) for line in printed.splitlines() if re.match(r"\s+\d+\s", line)]


@pytest.mark.parametrize("page", BUILT_IN)
def test_every_change_of_the_page_fits_the_code_as_it_is(page: str, tmp_path: Path) -> None:
    example = Example(page, tmp_path)
    example.copy_packages()
    changed = " ".join(name for name in example.apply() if not name.startswith("my_"))
    example.run(f"ruff check {changed}")
    example.run(f"ruff format --check {changed}")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_method_is_added_as_the_page_says(tmp_path: Path) -> None:
    example = Example("adding-a-method", tmp_path)
    example.copy_packages()
    assert "search/report/recipe.py" in example.apply()
    trial, described, tested = example.commands()
    printed = example.run(trial)
    assert "focal (gamma = 1.5) after a warm-up of 0 of 3 epochs" in printed
    assert accuracies(printed)[-1] > 80
    assert "focal.gamma" in example.run(described)
    assert int(re.findall(r"(\d+) passed", example.run(tested))[0]) > 20
    loss = "import torch, tosmooth as ts; z, y = torch.randn(9, 4), torch.arange(9) % 4"
    same = "print(torch.allclose(ts.losses.FocalLoss(0.0)(z, y), torch.nn.functional.cross_entropy(z, y)))"
    assert example.run(f'python -c "{loss}; {same}"').strip() == "True"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_data_set_is_added_as_the_page_says(tmp_path: Path) -> None:
    example = Example("adding-a-dataset", tmp_path)
    example.copy_packages()
    example.apply()
    trial, tested = example.commands()
    printed = example.run(trial)
    assert "threenorm/symmetric-0.2: 3600 train, 400 validation, 2000 test examples, 2 classes, noise rate 2" in printed
    assert 70 < accuracies(printed)[-1] < 90
    assert "4 passed" in example.run(tested)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_network_is_added_as_the_page_says(tmp_path: Path) -> None:
    example = Example("adding-a-network", tmp_path)
    example.copy_packages()
    assert "my_network.py" in example.apply()
    trial, tested = example.commands()
    printed = example.run(trial)
    assert "my_network:make on cpu" in printed
    assert accuracies(printed)[-1] > 80
    assert "passed" in example.run(tested)
    tiny = "build_network(NetworkConfig(name='lenet'), (3, 32, 32), 10)"
    of = "from tosmooth.trainables.config import NetworkConfig; from tosmooth.trainables.networks.build import *"
    count = f"{of}; print(sum(p.numel() for p in {tiny}.parameters()))"
    assert int(example.run(f'python -c "{count}"')) == 456 + 2416 + 48120 + 10164 + 850


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.ray
def test_a_sampler_is_added_as_the_page_says(tmp_path: Path) -> None:
    example = Example("adding-a-sampler", tmp_path)
    assert example.apply() == ["my_sampler.py", "my_study.yaml"]
    (command,) = example.commands()
    assert "symmetric-0.3" in example.run(command)
    example.run("tosmooth --quiet export my-study --trials --format csv --output trials.csv")
    with (tmp_path / "trials.csv").open(encoding="utf-8") as file:
        search = [row for row in csv.DictReader(file) if row["phase"] == "search"]
    assert len(search) == 10
    rates = [float(row["rate"]) for row in search]
    assert rates[:2] == [0, 0.1]
    assert all(-4 <= rate <= 0.8 for rate in rates)
    journal = (tmp_path / "tosmooth-home" / "studies" / "my-study" / "journal.log").read_text(encoding="utf-8")
    assert '"source":"sampler"' in journal, "the class was never asked"
