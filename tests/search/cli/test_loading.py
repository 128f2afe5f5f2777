"""Libraries that a command loads: whoever only looks at a study waits for no model and no cluster."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.search.builders import level
from tests.search.tools import Driver, play, tiny
from tosmooth.search.storage.home import Home

CODE = """
import json, sys
from tosmooth.search.cli.main import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""
HEAVY = {"ray", "torch", "mlflow"}
SURROGATE = "tosmooth.search.surrogate"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home in which the study `tiny` has ended."""
    root, spec = tmp_path_factory.mktemp("home"), tiny("dataset.noise=[clean]", "search.sampler=random")
    folder, levels = Home(root).study("tiny"), [level("clean", 0.0)]
    folder.keep(spec, {known.name: known for known in levels})
    driver = Driver(folder.path, spec, levels=levels)
    play(driver)
    driver.history.close()
    return root


def loaded(said: str, *arguments: str) -> set[str]:
    """The modules that a command, which printed `said`, has loaded at its end, packages above them among them."""
    done = subprocess.run([sys.executable, "-c", CODE, *arguments], capture_output=True, text=True, check=True)
    assert said in done.stdout
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_help_loads_no_heavy_library_and_no_storage() -> None:
    assert loaded("Usage", "--help") & {*HEAVY, "optuna", "scipy", "matplotlib", "tosmooth.search.spec.study"} == set()


def test_status_of_a_study_that_runs_loads_neither_the_surrogate_nor_scipy(home: Path) -> None:
    with Home(home).existing("tiny").locked():
        found = loaded("running: process", "status", "tiny", "--home", str(home))
    assert found & {*HEAVY, SURROGATE, "scipy", "matplotlib"} == set()


def test_status_of_a_study_that_has_its_table_loads_nothing_that_trains(home: Path) -> None:
    Home(home).existing("tiny").table_file.touch()
    assert loaded("finished", "status", "tiny", "--home", str(home)) & {*HEAVY, "matplotlib"} == set()


def test_export_loads_the_surrogate_but_nothing_that_trains(home: Path) -> None:
    assert loaded("clean", "export", "tiny", "--home", str(home)) & {*HEAVY, SURROGATE} == {SURROGATE}
