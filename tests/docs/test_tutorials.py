"""The tutorials of the documentation: each is run from its first cell to its last, and says what then is true."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pytest

from tests.cluster.parts import require_parts
from tests.conftest import ROOT
from tests.docs.notebooks import OUTPUTS, cells
from tests.tools import free_port, wait_for
from tosmooth.search.storage.home import Home

PAGES = ROOT / "docs" / "tutorials"
RUNNER = ROOT / "tests" / "docs" / "notebooks.py"
slow = pytest.mark.slow
ray = pytest.mark.ray


class Ran:
    """A page that was run in a folder, with what each of its cells printed and showed."""

    def __init__(self, page: str, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        done = subprocess.run(
            [sys.executable, str(RUNNER), str(PAGES / page)],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.all = done.stdout
        self.outputs: list[dict[str, Any]] = json.loads((folder / OUTPUTS).read_text(encoding="utf-8"))
        assert done.returncode == 0, done.stdout

    def printed(self, word: str) -> str:
        """Return what the cell printed that is the only one with a word in its code."""
        (found,) = [output["printed"] for output in self.outputs if word in output["code"]]
        assert isinstance(found, str)
        return found

    @property
    def pictures(self) -> int:
        return sum("image/png" in output["shown"] for output in self.outputs)

    def row(self, study: str, level: str | None = None) -> dict[str, Any]:
        """Return a row of a study's table; the study ended, and none of its trials failed."""
        folder = Home(self.folder / "tosmooth-home").study(study).path
        table = pd.read_csv(folder / "best_rates.csv").set_index("noise")
        assert (table["failed"] == 0).all()
        assert set(table["verdict"]) <= {"smooth", "cross-entropy", "undecided"}, "it was confirmed on fresh seeds"
        assert (folder / "report.html").stat().st_size > 100_000
        found: dict[str, Any] = table.loc[level or table.index[0]].to_dict()
        return found


@slow
@ray
def test_my_table(tmp_path: Path) -> None:
    page = Ran("my-table.md", tmp_path)
    row = page.row("biopsies")
    assert row["gain_over_ce"] > 0
    assert row["rate_low"] < 0  # machines round differently and do not agree on the best rate's sign, nor does the page
    assert ("no luck" in page.printed("gain, sign =")) == (row["gain_low"] > 0) == (row["verdict"] == "smooth")
    assert ("is decided" in page.printed("gain, sign =")) == (row["rate_low"] > 0 or row["rate_high"] < 0)
    kinds = page.printed("kinds = ")
    means = {line[:10].strip(): [float(word) for word in line.split()[-2:]] for line in kinds.splitlines()[2:]}
    assert max(means, key=lambda kind: means[kind][1]) == "below -0.5"  # "there negative rates lead"
    left, right = ([mean[column] for mean in means.values()] for column in (0, 1))
    assert max(left) < min(right)  # "It is lower"
    assert max(left) - min(left) < max(right) - min(right)  # "its differences are smaller"
    words = page.printed("result.recommendation")
    assert "noisy validation rows" in words
    assert "estimated from the noisy labels" in words
    assert row["best_rate"] < 0 or "the loss runs away" not in words  # "which comes with negative rates alone"
    assert page.pictures == 2
    assert (tmp_path / "biopsies.html").stat().st_size > 100_000


@slow
@ray
@pytest.mark.long
def test_my_pictures(tmp_path: Path) -> None:
    page = Ran("my-pictures.md", tmp_path)
    row = page.row("photos")
    decided = "undecided" not in page.printed("decided =")
    assert decided == (row["rate_low"] > 0 or row["rate_high"] < 0)
    assert row["test_accuracy"] > 60  # of four classes
    assert int(page.printed('(eights["class"]').split()[0]) > 50
    assert page.pictures == 2


@slow
@ray
def test_pretrained(tmp_path: Path) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    page = Ran("pretrained.md", tmp_path)
    row = page.row("shapes")
    assert row["ce_test_accuracy"] > 40  # "by chance would be 25 %"
    assert row["verdict"] in page.printed("the verdict is:")
    assert len(list(tmp_path.glob("tosmooth-home/**/features-*.arrow"))) == 2  # computed once, by `describe`
    assert page.pictures == 2


@slow
@ray
@pytest.mark.long
def test_own_loop(tmp_path: Path) -> None:
    for library in ("lightning", "transformers"):
        pytest.importorskip(library)
    page = Ran("own-loop.md", tmp_path)
    for study in ("own-loop", "with-lightning", "with-trainer"):
        row = page.row(study)
        assert row["test_accuracy"] > 50
        assert row["val_accuracy"] < 65  # "near 60 % is all that can be had"
    assert "arguments.lr" in page.all
    assert page.pictures == 2


@slow
@ray
@pytest.mark.long
def test_wrong_labels(tmp_path: Path) -> None:
    page = Ran("wrong-labels.md", tmp_path)
    given, cleaned = page.row("handwriting", "given"), page.row("handwriting", "cleaned-drop")
    assert cleaned["ce_test_accuracy"] > given["ce_test_accuracy"]  # "Cleaning helps plain cross-entropy most"
    assert given["best_rate"] > 0  # "For these digits it is positive"
    gained = cleaned["ce_test_accuracy"] - given["ce_test_accuracy"]
    assert gained > cleaned["test_accuracy"] - given["test_accuracy"]
    counted = page.printed("likely errors")
    right, chance = (int(re.findall(pattern, counted)[0]) for pattern in (r"wrong \((\d+) %", r"right in (\d+) %"))
    assert 100 > right > 2 * chance  # "much better than chance, and it is not perfect"
    dropped = pd.read_csv(tmp_path / "handwriting/train-dropped.csv")
    assert 900 - len(dropped) == int(counted.split()[0])
    assert page.pictures == 2


@slow
@ray
@pytest.mark.long
def test_use_the_rate(tmp_path: Path) -> None:
    page = Ran("use-the-rate.md", tmp_path)
    assert page.row("clouds")["best_rate"] < 0
    same = page.printed("torch.nn.CrossEntropyLoss(label_smoothing=rate)")
    assert len({line.split()[-1] for line in same.splitlines()}) == 1  # "The same number twice"
    gain, better = re.findall(r"(-?[\d.]+) points on average; better in (\d+) of 10", page.printed("gain.mean()"))[0]
    assert (float(gain) > 0, int(better) > 5) == (True, True)  # "Most of them rise"
    assert float(page.printed("network.predict").split("\n")[-2].split()[0]) > 80
    predicted = pd.read_csv(tmp_path / "predictions.csv")
    assert len(predicted) == 1000
    assert page.pictures == 1


@slow
@ray
def test_python_notebook(tmp_path: Path) -> None:
    notebook = json.loads((PAGES / "python.ipynb").read_text(encoding="utf-8"))
    assert not any(cell.get("outputs") for cell in notebook["cells"]), "outputs are of one machine: clear them"
    page = Ran("python.ipynb", tmp_path)
    assert "cross-entropy" in page.all
    assert float(page.outputs[-1]["printed"].split()[0]) > 60, "a linear model tells three blobs apart"


def _end_what_the_page_started(folder: Path) -> None:
    for file in folder.glob("*.pid"):
        with suppress(ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGTERM)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder with a short path, as Ray's sockets need it, which other accounts may enter, as PostgreSQL's."""
    with TemporaryDirectory(prefix="ts-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
        return True


@slow
@ray
@pytest.mark.cluster
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="the page is for Linux")
@pytest.mark.long
def test_cluster(tmp_path: Path) -> None:
    try:
        page = Ran("cluster.md", tmp_path)
    finally:
        _end_what_the_page_started(tmp_path)
    for level in ("symmetric-0.2", "symmetric-0.4"):
        page.row("two-levels", level)
    machines = json.loads((tmp_path / "tosmooth-home/studies/two-levels/machines.json").read_text())
    assert machines[0]["nodes"] >= 2
    assert " 0 failed" in page.printed("ended.sum()")
    started = [int(file.read_text()) for file in tmp_path.glob("*.pid")]
    assert len(started) == 3
    wait_for("the end of the cluster", lambda: all(map(_gone, started)))
    assert page.pictures == 2


@slow
@ray
@pytest.mark.cluster
@pytest.mark.timeout(900)
@pytest.mark.skipif(sys.platform != "linux", reason="the page is for Linux")
@pytest.mark.long
def test_cluster_with_postgresql_and_mlflow(open_folder: Path) -> None:
    """The page's cells up to the nodes, its study, and then its blocks of shell, as they stand, in one shell."""
    require_parts()
    text = (PAGES / "cluster.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)
    assert len(blocks) == 4
    (open_folder / "docker").symlink_to(ROOT / "docker")
    shell = [code.removeprefix("%%sh\n") for code in cells(PAGES / "cluster.md") if code.startswith("%%sh")]
    head, nodes, _, stop = shell
    (study,) = [code for code in cells(PAGES / "cluster.md") if code.startswith("%%writefile two-levels.yaml\n")]
    (open_folder / "two-levels.yaml").write_text(study.split("\n", 1)[1], encoding="utf-8")
    (open_folder / "ray").mkdir()
    port = str(free_port())
    settings = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_TOKEN": "t" * 32,
        "RAY_PORT": port,
        "RAY_HEAD": f"127.0.0.1:{port}",
        "NODE_IP": "127.0.0.1",
        "RAY_DASHBOARD": "false",
        "RAY_TMPDIR": str(open_folder / "ray"),
        "TOSMOOTH_HOME": str(open_folder / "tosmooth-home"),
        "POSTGRES_PORT": str(free_port()),
        "MLFLOW_PORT": str(free_port()),
    }
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        database = open_folder / "database"
        database.mkdir()
        shutil.chown(database, "postgres", "postgres")
        settings["PGDATA"] = str(database / "postgres")
        as_postgres = "setpriv --reuid=postgres --regid=postgres --clear-groups docker/"
        blocks[1] = blocks[1].replace("docker/postgres.sh", f"{as_postgres}postgres.sh")
    kept = "echo $! >{}.pid\n"
    blocks[1] = blocks[1].replace("2>&1 &\n", f"2>&1 &\n{kept.format('postgres')}")
    blocks[2] = blocks[2].replace("2>&1 &\n", f"2>&1 &\n{kept.format('mlflow')}")
    script = "\n".join([*blocks[:1], head, nodes, *blocks[1:], stop])
    try:
        with (open_folder / "said").open("w") as said:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", script],
                cwd=open_folder,
                env=os.environ | settings,
                stdout=said,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=800,
            )
        told = (open_folder / "said").read_text(encoding="utf-8")
        assert done.returncode == 0, told
        assert "best smoothing rate, twonorm" in told
        home = open_folder / "tosmooth-home"
        assert (home / "studies/with-servers/best_rates.csv").exists()
        assert not list(home.glob("studies/with-servers/journal*")), "the record is in PostgreSQL"
        assert not (home / "mlflow.db").exists(), "the runs are on MLflow's server"
        assert any((open_folder / "artifacts").rglob("report.html"))
    finally:
        _end_what_the_page_started(open_folder)


def test_every_tutorial_is_run_by_a_test_here() -> None:
    here = Path(__file__).read_text(encoding="utf-8")
    pages = {page.name for page in PAGES.iterdir() if page.suffix in (".md", ".ipynb")} - {"index.md"}
    assert len(pages) == 8
    assert {page for page in pages if f'Ran("{page}"' not in here} == set()
    for page in pages:
        assert cells(PAGES / page), page
