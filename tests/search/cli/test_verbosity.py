"""How much `run` says, and where the data of a study are found again."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

from tests.search.conftest import Command, Finished
from tosmooth.search.cli.main import app

TABLE = """
name: mine
dataset: {name: mine, noise: [given], table: {train: train.parquet, features: [a, b]}}
training: {epochs: 2}
search: {trials: 2}
confirmation: {seeds: 1}
resources: {concurrent: 1}
"""


@pytest.fixture
def home(finished: Finished, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished.home, tmp_path / "home"))


@pytest.mark.ray
@pytest.mark.parametrize("where", [("--quiet", "run"), ("run", "--quiet"), ("run", "-q")], ids=" ".join)
def test_quiet_prints_the_table_alone(where: tuple[str, ...], command: Command, home: Path) -> None:
    code, out, err = command(*where, "tiny", "--home", home)
    assert (code, err) == (0, "")
    assert out.startswith("best smoothing rate, twonorm")


@pytest.mark.ray
@pytest.mark.parametrize("where", [("--verbose", "run"), ("run", "-v")], ids=" ".join)
def test_verbose_tells_settings_versions_and_where_time_goes(
    where: tuple[str, ...], command: Command, home: Path
) -> None:
    code, _, err = command(*where, "tiny", "--home", home, "--cache-dir", home / "images")
    assert code == 0
    lines = err.splitlines()
    assert f"home: {home} (--home)" in lines
    assert f"cache-dir: {home / 'images'} (--cache-dir)" in lines
    assert "storage: a journal file in the home (default)" in lines
    assert any(line.startswith("python 3.") and "ray 2." in line for line in lines)
    assert any(line.endswith(" s: Reading and measuring the data") for line in lines)
    code, _, err = command("run", "tiny", "--home", home)
    assert "Reading and measuring the data ..." in err, "what the call before said is forgotten"
    assert " s: " not in err


def test_quiet_and_verbose_exclude_each_other_and_quiet_hides_no_error(command: Command) -> None:
    code, _, err = command("--quiet", "run", "--verbose", "twonorm")
    assert (code, err) == (2, "error: --quiet: is refused together with --verbose: one of the two\n")
    code, out, err = command("run", "twonrom", "--quiet")
    assert (code, out, err.startswith("error: study 'twonrom': unknown")) == (2, "", True)


def commands(group: Any) -> Iterator[Any]:
    for each in group.commands.values():
        yield from commands(each) if hasattr(each, "commands") else [each]


def test_every_command_takes_both() -> None:
    found = list(commands(typer.main.get_command(app)))
    assert len(found) > 15
    for each in found:
        options = [option for parameter in each.params for option in parameter.opts]
        assert {"-q", "--quiet", "-v", "--verbose"} <= set(options), each.name
        assert len(options) == len(set(options)), each.name


def test_quiet_hides_progress_and_places_but_no_warning(command: Command, home: Path) -> None:
    (home / "tosmooth.toml").write_text('storage = "postgresql://me:secret@nowhere/db"\n', encoding="utf-8")
    (home / "tosmooth.toml").chmod(0o644)
    code, out, err = command("report", "tiny", "-q", "--home", home)
    assert code != 0 or out
    assert err.startswith("warning: ")
    assert "Drawing the charts" not in err
    (home / "tosmooth.toml").unlink()
    assert command("report", "tiny", "-q", "--home", home) == (0, f"{home / 'studies' / 'tiny' / 'report.html'}\n", "")


def test_verbose_tells_the_settings_of_a_command_that_only_reads(command: Command, home: Path) -> None:
    plain = command("show", "tiny", "--home", home)
    code, out, err = command("show", "tiny", "-v", "--home", home)
    assert (code, out) == (0, plain.out)
    assert err.splitlines()[0] == f"home: {home} (--home)"
    assert "tosmooth " in err.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.ray
def test_the_home_remembers_the_folder_of_the_data(command: Command, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    data, home, study = tmp_path / "home" / "tables", tmp_path / "home", tmp_path / "mine.yaml"
    data.mkdir(parents=True)
    labels = rng.integers(0, 2, 100)
    table = {"a": rng.normal(size=100) + labels, "b": rng.normal(size=100), "label": labels}
    pq.write_table(pa.table(table), data / "train.parquet")
    study.write_text(TABLE, encoding="utf-8")
    code, _, err = command("run", study, "--home", home, "--data-dir", os.path.relpath(data, tmp_path))
    assert code == 0, err

    home = home.rename(tmp_path / "moved")
    again = command("run", "mine", "--home", home)
    assert again.code == 0, again.err
    described = command("describe", study, "--home", home).out
    assert f"data-dir: {home / 'tables'} (study mine, as it was last run)" in described
    examined = command("doctor", "mine", "--home", home).out
    assert [line.split() for line in examined.splitlines() if line.startswith("data-dir")] == [
        ["data-dir", str(home / "tables"), "study", "mine,", "as", "it", "was", "last", "run"]
    ]
    (home / "tosmooth.toml").write_text('data-dir = "elsewhere"\n', encoding="utf-8")  # which says it before
    assert str(home / "elsewhere") in command("run", "mine", "--home", home).err
    (home / "tosmooth.toml").unlink()

    (home / "tables").rename(tmp_path / "tables")
    for name in ("run", "describe"):
        code, _, err = command(name, "mine", "--home", home)
        assert (code, f"error: --data-dir: '{home / 'tables'}' is the folder of the data" in err) == (2, True)
    assert "as it was last run; it is gone" in command("doctor", "mine", "--home", home).out
    assert command("show", "mine", "--home", home).out == again.out, "the table needs no data"
    assert command("describe", "mine", "--home", home, "--data-dir", tmp_path / "tables").code == 0
