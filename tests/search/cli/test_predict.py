"""`tosmooth predict` and `Result.predict`: the winner's networks on new rows, as accurate as was recorded."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

import tosmooth as ts
from tests.search.conftest import Command, Finished
from tests.search.tools import TINY, tosmooth
from tosmooth.search.report.networks import cell_of, winner_networks
from tosmooth.search.spec.loading import read_study
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders


@pytest.fixture(scope="module")
def level(tmp_path_factory: pytest.TempPathFactory) -> LevelData:
    """The level `clean` of the study `tiny`, whose features are as they were drawn."""
    place = tmp_path_factory.mktemp("level")
    return load_level(read_study(TINY).data_config("clean"), Folders(place, place))


@pytest.fixture(scope="module")
def new(level: LevelData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its test set as a CSV whose columns are in another order, with one more."""
    assert level.test is not None
    features = level.test.inputs[level.test.rows].numpy()
    frame = pd.DataFrame(features, columns=[f"x{i}" for i in range(20)]).assign(id=1)
    file = tmp_path_factory.mktemp("new") / "new.csv"
    frame[list(reversed(frame.columns))].to_csv(file, index=False, float_format="%.9g")
    return file


def accuracy(predictions: pd.DataFrame, level: LevelData) -> float:
    assert level.test is not None
    right = predictions["class"].astype(int).to_numpy() == level.test.labels.numpy()
    return float(100 * right.sum() / len(right))


def recorded(result: ts.Result) -> list[float]:
    """Accuracy of each fresh seed of the chosen rate."""
    best = result.best("clean")
    runs = [each for each in result.records if each.phase == "confirmation" and each.level.endswith("clean")]
    found = [run.curve[-1]["test_accuracy"] for run in runs if dict(run.params) == best.parameters]
    return [value for value in found if value is not None]


def test_predictions_are_as_accurate_as_was_recorded(
    finished: Finished, command: Command, level: LevelData, new: Path
) -> None:
    code, out, err = command("predict", "tiny", new, "--level", "clean", "--home", finished.home)
    assert code == 0, err
    assert out.splitlines()[0] == "row,class,p_0,p_1"
    found = pd.read_csv(io.StringIO(out))
    result = ts.load("tiny", home=finished.home)
    assert accuracy(found, level) == recorded(result)[0]
    np.testing.assert_allclose(found["p_0"] + found["p_1"], 1, atol=1e-9)
    assert "columns that the network does not know are ignored: id\n200 examples, predicted by 1 network\n" in err
    raw = pd.read_csv(new)[[f"x{i}" for i in range(20)]]
    for inputs in (raw, raw.to_numpy(), torch.tensor(raw.to_numpy()), new):
        again = result.predict("clean", inputs)
        assert (again.labels, again.networks) == (found["class"].astype(str).tolist(), 1)


def test_predictions_are_written_by_the_ending_of_the_file(
    finished: Finished, command: Command, new: Path, tmp_path: Path
) -> None:
    arguments = ("predict", "tiny", new, "--level", "symmetric-0.4", "--home", finished.home, "--output")
    shown = command(*arguments[:-1])
    for name in ("a.csv", "b.parquet"):
        code, out, _ = command(*arguments, tmp_path / "deep" / name)
        assert (code, out) == (0, "")
    assert (tmp_path / "deep" / "a.csv").read_text() == shown.out
    table = pq.read_table(tmp_path / "deep" / "b.parquet")
    assert table.column_names == ["row", "class", "p_0", "p_1"]
    assert table.num_rows == 200
    code, out, err = command(*arguments, tmp_path / "c.xlsx")
    assert (code, "--output: " in err, "ends in .csv or .parquet" in err) == (2, True, True)
    assert not (tmp_path / "c.xlsx").exists()


def test_what_is_wrong_is_one_sentence_and_writes_nothing(
    finished: Finished, command: Command, new: Path, tmp_path: Path
) -> None:
    pd.read_csv(new).rename(columns={"x3": "X3"}).to_csv(tmp_path / "renamed.csv", index=False)
    pd.read_csv(new).assign(x3="high").to_csv(tmp_path / "text.csv", index=False)
    for data, level, words in (
        (tmp_path / "renamed.csv", "clean", "has no column 'x3': its columns are"),
        (tmp_path / "text.csv", "clean", "row 0, column 'x3': text, in the training set numbers: the two are alike"),
        (tmp_path / "none.csv", "clean", "there is no such file or folder"),
        (new, "worst", "--level: 'worst' is refused: one of clean, symmetric-0.4"),
        (new, None, "--level: None is refused: one of clean, symmetric-0.4"),
    ):
        named = () if level is None else ("--level", level)
        output = tmp_path / "out.csv"
        code, out, err = command("predict", "tiny", data, *named, "--home", finished.home, "--output", output)
        assert (code, out, err.count("\n"), output.exists()) == (2, "", 1, False)
        assert words in err


@pytest.mark.slow
@pytest.mark.ray
def test_networks_of_all_seeds_predict_together(level: LevelData, new: Path, tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(TINY.replace("name: tiny", "name: all"), encoding="utf-8")
    changes = ("dataset.noise=[clean]", "confirmation.keep_weights=all", "search.trials=3")
    settings = [word for change in changes for word in ("--set", change)]
    done = tosmooth("run", "all.yaml", "--home", "home", *settings, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = ts.load("all", home=tmp_path / "home")
    found = result.predict(None, new)
    assert found.networks == 2
    alone = [ts.load_weights(path) for path in sorted((tmp_path / "home" / "studies" / "all" / "weights").iterdir())]
    features = pd.read_csv(new)
    each = {round(accuracy(pd.DataFrame({"class": net.predict(features)}), level), 9) for net in alone}
    assert {round(value, 9) for value in recorded(result)} <= each
    own = [net.probabilities(features) for net in alone]
    pairs = [(a + b) / 2 for i, a in enumerate(own) for b in own[i + 1 :]]
    assert any(np.allclose(found.probabilities, pair, atol=1e-12) for pair in pairs)


def test_weights_of_best_take_raw_rows_anywhere(
    finished: Finished, command: Command, level: LevelData, new: Path, tmp_path: Path
) -> None:
    code, _, err = command("best", "tiny", "--level", "clean", "--home", finished.home, "--output", tmp_path / "best")
    assert code == 0, err
    moved = (tmp_path / "best" / "tiny-clean.safetensors").rename(tmp_path / "elsewhere.safetensors")
    found = pd.DataFrame({"class": ts.load_weights(moved).predict(pd.read_csv(new))})
    assert accuracy(found, level) == recorded(ts.load("tiny", home=finished.home))[0]


def test_a_network_that_was_not_kept_is_said_to_be_so(finished: Finished) -> None:
    result = ts.load("tiny", home=finished.home)
    first = result.spec.confirmation_seeds()[0]
    records = [
        dataclasses.replace(each, state="diverged", reason="loss is nan")
        if each.phase == "confirmation" and each.train_seed == first
        else each
        for each in result.records
    ]
    cell = cell_of(result.spec, "clean", None)
    words = (
        "'clean': the first fresh seed, whose network is kept, diverged: loss is nan; confirmation.keep_weights: all"
    )
    with pytest.raises(InputError, match=words):
        winner_networks(result.folder, result.spec, records, cell, result.folders)
