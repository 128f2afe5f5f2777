"""Studies run from Python: refused before anything is trained, interrupted, run twice in one process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tosmooth
from tests.conftest import ROOT
from tests.search.tools import TINY, tiny
from tosmooth.search.api.places import places_of
from tosmooth.search.api.process import COMMAND
from tosmooth.search.api.worker import Request
from tosmooth.search.spec.loading import to_yaml
from tosmooth.trainables.errors import InputError

HEAVY = {"torch", "ray", "optuna", "mlflow", "pandas", "scipy", "pydantic", "numpy", "pyarrow", "rich", "yaml"}


def request(home: Path, **changes: object) -> str:
    """Line that asks for the study `tiny`."""
    places = dict.fromkeys(("data", "cache", "address", "tracking_uri", "storage", "code"))
    asked = {"study": to_yaml(tiny()), "home": str(home), **places, "quiet": False, "line_every": 10.0}
    return Request(**(asked | changes)).text()  # type: ignore[arg-type]


def test_the_bare_import_loads_nothing_heavy_and_names_what_there_is() -> None:
    code = f"import sys, tosmooth; print(sorted({HEAVY} & set(sys.modules))); print(dir(tosmooth))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded, names = done.stdout.splitlines()
    assert loaded == "[]"
    assert set(tosmooth.__all__) <= set(json.loads(names.replace("'", '"')))
    assert all(hasattr(tosmooth, name) for name in tosmooth.__all__)


def test_what_a_call_gives_comes_before_the_environment_and_that_before_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "tosmooth.toml").write_text('data-dir = "theirs"\ncache-dir = "theirs"\naddress = "local"\n')
    monkeypatch.setenv("TOSMOOTH_CACHE_DIR", "of-environment")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "databricks")  # is for other tools
    found = places_of(home, {"storage": "sqlite:///given.db"})
    assert (found.data_dir, found.cache_dir) == (str(home / "theirs"), "of-environment")
    assert (found.storage, found.tracking_uri, found.address) == ("sqlite:///given.db", None, None)
    assert places_of(home, {"cache_dir": Path("given")}).cache_dir == "given"
    monkeypatch.setenv("TOSMOOTH_HOME", str(home))
    assert places_of(None, {}).home == home


@pytest.mark.parametrize(
    ("study", "settings", "message"),
    [
        ("twonrm", {}, "study 'twonrm': unknown; did you mean 'twonorm'"),
        (3, {}, "study: 3 is refused: the name of a study"),
        ("twonorm", {"changes": {"training.epochs": -1}}, "training.epochs: -1 is refused"),
        ("twonorm", {"trials": 1}, "search.trials: 1 is refused"),
        ("twonorm", {"trials": 4, "changes": {"search.trials": 5}}, "search.trials: 5 is refused: given twice"),
        ("twonorm", {"home": 3}, "home: 3 is refused: a text or a path"),
    ],
)
def test_a_wrong_call_is_refused_at_once(study: object, settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        tosmooth.run(study, **settings)  # type: ignore[arg-type]


def test_what_the_process_refuses_is_raised_here(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    table = {"train": str(tmp_path / "none.csv"), "features": ["x"]}
    study = tosmooth.Study("mine", {"name": "mine", "noise": ["given"], "table": table})
    with pytest.raises(InputError, match=r"none.csv"):
        tosmooth.run(study, home=tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_the_process_ends_with_the_one_that_asked(tmp_path: Path) -> None:
    process = subprocess.Popen(
        COMMAND, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    out, _ = process.communicate(request(tmp_path / "home") + "\n", timeout=100)  # which closes the pipe
    assert json.loads(out.splitlines()[-1]) == {"stopped": ""}
    assert not (tmp_path / "home" / "studies" / "tiny" / "best_rates.csv").exists()


SCRIPT = """
import json, os, signal, sys, threading, time
from pathlib import Path

import tosmooth

home = Path("home")
history = home / "studies" / "tiny" / "history.jsonl"
study = tosmooth.Study.load("tiny.yaml")
state = lambda: (sorted(os.listdir("/proc/self/fd")), threading.active_count(), sorted(os.environ.items()))

def interrupt():
    while not history.exists() or history.read_bytes().count(b"\\n") < 4:
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)

tosmooth.run  # loads what is needed here
before = state()
thread = threading.Thread(target=interrupt)
thread.start()
try:
    tosmooth.run(study, home=home)
    print("not interrupted")
except KeyboardInterrupt as stop:
    print(stop)
thread.join()
kept = history.read_bytes()
assert state() == before, (state(), before)
result = tosmooth.run(study, home=home)
assert history.read_bytes().startswith(kept[:kept.rindex(b"\\n") + 1])
print(json.dumps({
    "trials": len(result.trials),
    "rows": len(result.table),
    "loaded": sorted({"ray", "mlflow", "torch"} & set(sys.modules)),
    "threads": threading.active_count(),
}))
"""


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_is_interrupted_and_goes_on_and_two_leave_nothing_in_the_process(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY, encoding="utf-8")
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    stopped, found = out.splitlines()
    assert stopped == "stopped; what ended is kept, and the same call goes on"
    assert json.loads(found) == {"trials": 20, "rows": 2, "loaded": [], "threads": 1}
    assert "trials 8/8, confirmation 12/12" in err
    assert "Traceback" not in err
