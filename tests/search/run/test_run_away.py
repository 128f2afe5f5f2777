"""Networks whose loss runs away: said wherever they are shown, and left out where they are not wanted."""

import json
import re
from pathlib import Path

import pytest

from tests.search.tools import tosmooth

NOTE = "the loss runs away: probabilities are useless"


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(900)  # eight commands, three of them studies
def test_networks_that_ran_away_are_said_and_can_be_left_out(tmp_path: Path) -> None:
    home = ("--home", tmp_path / "home")
    settings = ["dataset.noise=[symmetric-0.4]", "search={sampler: grid}", "confirmation.seeds=1"]
    settings += ["space.rate={values: [-4, 0, 0.1, 0.4]}", "space.warmup={values: [1]}"]

    def run(name: str, *more: str) -> tuple[str, dict[str, object]]:
        given = [word for each in [*settings, *more] for word in ("--set", each)]
        shown = tosmooth("run", "twonorm", "--name", name, *given, *home, cwd=tmp_path)
        assert shown.returncode == 0, shown.stderr
        told = tosmooth("export", name, "--format", "json", *home, cwd=tmp_path)
        (row,) = json.loads(told.stdout)
        return " ".join(shown.stdout.split()), row

    shown, row = run("free")
    assert NOTE in shown
    assert row["best_rate"] == -4
    assert isinstance(row["mean_abs_logit"], float)
    assert row["mean_abs_logit"] > 1000
    best = tosmooth("best", "free", "--level", "symmetric-0.4", "--output", tmp_path / "best", *home, cwd=tmp_path)
    assert NOTE in " ".join(best.stderr.split())
    new = tmp_path / "new.csv"
    new.write_text(",".join(f"x{i}" for i in range(20)) + "\n" + ",".join(["0.5"] * 20) + "\n")
    predicted = tosmooth("predict", "free", new, *home, cwd=tmp_path)
    assert re.search(rf"free, symmetric-0\.4, seed \d+: {NOTE}", " ".join(predicted.stderr.split()))
    assert "1 example, predicted by 1 network" in predicted.stderr
    analysed = tosmooth("analyse", "free", "--attacked", "0", "--no-student", *home, cwd=tmp_path)
    assert NOTE in " ".join(analysed.stdout.split())

    shown, row = run("bounded", "selection.bounded=true")
    assert NOTE not in shown
    assert row["best_rate"] != -4
    assert isinstance(row["mean_abs_logit"], float)
    assert row["mean_abs_logit"] < 1000
    assert row["diverged"] == 1
    again = tosmooth("run", "free", "--set", "selection.bounded=true", *home, cwd=tmp_path)
    assert again.returncode == 2
    assert "selection.bounded" in again.stderr
