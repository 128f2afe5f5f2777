"""`tosmooth analyse` on a finished study: files, numbers, notes, MLflow, and what it says to what is wrong."""

import csv
import dataclasses
import json
import shutil
import statistics
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from mlflow import MlflowClient

from tests.search.builders import record
from tests.search.conftest import Command, Finished
from tests.search.tools import gls, mlflow_runs, tiny, tosmooth
from tosmooth.search.records import Cell, Phase, Record
from tosmooth.search.report.analysis.cells import CE, CHOSEN, LS, CellAnalysis, analyse_study, arms_of, asked, lacking
from tosmooth.search.report.analysis.tables import measured
from tosmooth.search.selection.comparison import paired_gain
from tosmooth.search.spec.method_spec import MethodSpec
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.reading import read_records
from tosmooth.search.storage.study_folder import StudyFolder
from tosmooth.trainables.analysis.analyse import Options, analyse
from tosmooth.trainables.analysis.bias_variance import error_decomposition, loss_decomposition
from tosmooth.trainables.analysis.predictions import saved_network, saved_trial
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.training.trainer import train

CPU = torch.device("cpu")
QUICK = Options(attacked=0, student=False)
NOISY = Cell("twonorm/symmetric-0.4", "gls")


class Analysed(NamedTuple):
    home: Path
    process: subprocess.CompletedProcess[str]

    @property
    def folder(self) -> Path:
        return self.home / "studies" / "tiny" / "analysis"


@pytest.fixture(scope="module")
def analysed(finished: Finished, tmp_path_factory: pytest.TempPathFactory) -> Analysed:
    """The study `tiny` after `tosmooth analyse`, once for all tests that look at what it leaves: about 15 s."""
    folder = tmp_path_factory.mktemp("analysed")
    home = Path(shutil.copytree(finished.home, folder / "home"))
    process = tosmooth("analyse", "tiny", "--home", home, "--attacked", "100", cwd=folder)
    assert process.returncode == 0, process.stderr
    return Analysed(home, process)


class Open(NamedTuple):
    """A finished study as `analyse_study` takes it."""

    folder: StudyFolder
    spec: StudySpec
    records: list[Record]
    folders: Folders

    def analyse(self, *cells: Cell, options: Options = QUICK) -> list[CellAnalysis]:
        return analyse_study(self.folder, self.spec, self.records, self.folders, cells or self.spec.cells(), options)


def opened(home: Path) -> Open:
    folder = Home(home).existing("tiny")
    spec = folder.spec()
    return Open(folder, spec, read_records(folder, spec, None), Home(home).folders(None))


@pytest.fixture
def home(finished: Finished, tmp_path: Path) -> Path:
    """A home of one's own with the finished study."""
    return Path(shutil.copytree(finished.home, tmp_path / "home"))


def rows(analysed: Analysed) -> list[dict[str, str]]:
    with (analysed.folder / "analysis.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_tables_and_pictures_lie_in_the_study_s_folder(analysed: Analysed) -> None:
    noisy = {f"twonorm-symmetric-0.4-gls-{kind}.png" for kind in ("reliability", "confidence", "projection")}
    noisy |= {f"twonorm-symmetric-0.4-gls-{kind}.png" for kind in ("memorisation", "robustness", "transition")}
    clean = {name.replace("symmetric-0.4", "clean") for name in noisy}
    clean.remove("twonorm-clean-gls-memorisation.png")  # there are no wrong labels to learn
    names = {file.name for file in analysed.folder.iterdir()}
    assert names == {"analysis.csv", "analysis.json"} | noisy | clean


def test_numbers_are_those_of_the_saved_networks(analysed: Analysed) -> None:
    study = opened(analysed.home)
    data = load_level(study.spec.data_config("symmetric-0.4"), study.folders)
    cells = json.loads((analysed.folder / "analysis.json").read_text())["cells"]
    (cell,) = [cell for cell in cells if cell["level"] == NOISY.level]
    arms = arms_of(study.spec, NOISY, study.records)
    assert [arm.name for arm in arms] == [arm["arm"] for arm in cell["arms"]]
    paths = [study.folder.weights(next(iter(arm.runs.values())).key) for arm in arms]
    torch.set_num_threads(1)  # as the command does: a student's accuracy may hang on the last bit
    source = saved_network(paths[[arm.name for arm in arms].index(CE)], data, CPU)
    for arm, path, written in zip(arms, paths, cell["arms"], strict=True):
        (seed,) = written["seeds"]
        assert int(seed) == study.spec.confirmation_seeds()[0]
        others = None if arm.name == CE else source
        expected = analyse(saved_network(path, data, CPU), saved_trial(path), data, CPU, Options(attacked=100), others)
        assert written["params"] == arm.params
        numbers = written["seeds"][seed]["numbers"]
        assert numbers.keys() == expected.numbers.keys()
        for name, value in expected.numbers.items():
            assert numbers[name] == (None if value is None else pytest.approx(value, rel=1e-3)), name
        assert numbers["examples"] == 100
        assert written["seeds"][seed]["arrays"].keys() == expected.arrays.keys()


def test_csv_has_a_line_for_each_measure_of_each_arm(analysed: Analysed) -> None:
    found = rows(analysed)
    cells = json.loads((analysed.folder / "analysis.json").read_text())["cells"]
    for cell in cells:
        for arm in cell["arms"]:
            own = {r["measure"]: r for r in found if (r["level"], r["arm"]) == (cell["level"], arm["arm"])}
            (numbers,) = (network["numbers"] for network in arm["seeds"].values())
            known = {name: value for name, value in numbers.items() if value is not None}
            assert {name: float(row["mean"]) for name, row in own.items()} == pytest.approx(
                {name: value for name, value in known.items() if name not in ("epsilon", "examples")}, rel=1e-7
            )
            assert {(row["std"], row["seeds"], row["difference_low"]) for row in own.values()} == {("", "1", "")}
    noisy = {(r["arm"], r["measure"]): r for r in found if r["level"] == NOISY.level}
    ls, ce = noisy[LS, "ece"], noisy[CE, "ece"]
    assert float(ls["difference"]) == pytest.approx(float(ls["mean"]) - float(ce["mean"]))
    assert ce["difference"] == ""
    assert ls["parameters"].startswith("rate=0.1, warmup=")


def test_memorisation_over_the_epochs_is_the_mean_over_all_confirmed_seeds(analysed: Analysed) -> None:
    study = opened(analysed.home)
    cells = json.loads((analysed.folder / "analysis.json").read_text())["cells"]
    (written,) = [arm for cell in cells for arm in cell["arms"] if (cell["level"], arm["arm"]) == (NOISY.level, CE)]
    (arm,) = [arm for arm in arms_of(study.spec, NOISY, study.records) if arm.name == CE]
    assert len(arm.runs) == 2
    for metric, means in written["over_epochs"].items():
        curves: list[list[Any]] = [[epoch[metric] for epoch in run.curve] for run in arm.runs.values()]
        assert means == pytest.approx([statistics.fmean(pair) for pair in zip(*curves, strict=True)])
    assert set(written["over_epochs"]) == {"train_accuracy_clean", "train_accuracy_flipped"}


def test_table_of_each_level_fits_80_columns_and_cuts_nothing(analysed: Analysed) -> None:
    out = analysed.process.stdout
    assert "what smoothing does, twonorm/clean" in out
    assert "what smoothing does, twonorm/symmetric-0.4" in out
    for words in ("test accuracy (%)", "ECE", "... scaled", "AURC", "wrong labels learnt (%)", "... PGD-20"):
        assert f"\n{words} " in out
    assert max(map(len, out.splitlines())) <= 80
    assert "\N{HORIZONTAL ELLIPSIS}" not in out
    flat = " ".join(out.split())
    assert "confirmation.keep_weights: all keeps those of every seed" in flat
    assert "attacks: epsilon 0.1, 100 test examples, networks of the first seed; no attack is a proof" in flat


def test_files_are_artifacts_of_their_cell_s_run_which_stays_finished(analysed: Analysed) -> None:
    parents = {
        run.data.tags["tosmooth.level"]: run
        for run in mlflow_runs(analysed.home)
        if run.data.tags["tosmooth.kind"] == "cell"
    }
    for level, run in parents.items():
        folder = analysed.home / "artifacts" / "tiny" / run.info.run_id / "artifacts"
        own, other = ("clean", "symmetric-0.4") if level.endswith("clean") else ("symmetric-0.4", "clean")
        names = {file.name for file in folder.iterdir()}
        assert {"analysis.csv", "analysis.json", f"twonorm-{own}-gls-reliability.png"} < names
        assert f"twonorm-{other}-gls-reliability.png" not in names
        assert "best_rates.csv" in names  # of the run, which stays
        assert run.info.status == "FINISHED"
        written = (analysed.folder / "analysis.csv").read_bytes()
        assert (folder / "analysis.csv").read_bytes() == written


def test_runs_keep_their_start_end_and_duration(analysed: Analysed, finished: Finished) -> None:
    times = [
        {run.info.run_id: (run.info.status, run.info.start_time, run.info.end_time) for run in mlflow_runs(home)}
        for home in (finished.home, analysed.home)
    ]
    assert times[0] == times[1]


def test_cell_s_run_shows_the_pictures_of_the_analysis_too(analysed: Analysed) -> None:
    for run in mlflow_runs(analysed.home):
        if run.data.tags["tosmooth.kind"] == "cell":
            level, words = run.data.tags["tosmooth.noise"], run.data.tags["mlflow.note.content"]
            for name in ("reliability", "accuracy-over-rate"):
                file = f"twonorm-{level}-gls-{name}.png"
                assert f"![{file}](get-artifact?path={file}&run_uuid={run.info.run_id})" in words


def test_files_go_to_the_mlflow_that_is_named(command: Command, home: Path, tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'other.db'}"
    quick = ("--level", "clean", "--attacked", "0", "--no-student")
    code, out, err = command("analyse", "tiny", "--home", home, "--tracking-uri", uri, *quick)
    assert (code, "MLflow lacks" in err) == (0, False)
    assert "twonorm/symmetric-0.4" not in out
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("tiny")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.data.tags["tosmooth.level"], run.info.status) == ("twonorm/clean", "FINISHED")
    folder = home / "artifacts" / "tiny" / run.info.run_id / "artifacts"
    assert "twonorm-clean-gls-reliability.png" in {file.name for file in folder.iterdir()}


def test_networks_of_all_seeds_give_spread_bias_and_variance(home: Path) -> None:
    study = opened(home)
    data = load_level(study.spec.data_config("symmetric-0.4"), study.folders)
    for run in study.records:  # what `confirmation.keep_weights: all` leaves
        path = study.folder.weights(run.key)
        if run.phase == "confirmation" and not path.exists():
            config = study.spec.trial_config(Cell(run.level, run.method), run.params, run.train_seed)
            level = load_level(config.data, study.folders)
            train(config, level, lambda report: None, CPU).save_weights(path)
    (cell,) = study.analyse(NOISY)
    found = {(row.arm, row.measure): row for row in measured(cell)}
    accuracies = {}
    for each in cell.arms:
        assert list(each.networks) == study.spec.confirmation_seeds()
        accuracies[each.arm.name] = {seed: run.last("test_accuracy") or 0 for seed, run in each.arm.runs.items()}
        values = accuracies[each.arm.name]
        row = found[each.arm.name, "accuracy"]
        assert row.mean == pytest.approx(statistics.fmean(values.values()))
        assert row.std == pytest.approx(statistics.stdev(values.values()))
        logits = torch.stack([network.test.logits for network in each.networks.values()])
        assert data.test is not None
        error = error_decomposition(logits.argmax(dim=2), data.test.labels, 2)
        loss = loss_decomposition(logits, data.test.labels)
        assert each.spread["error_bias"] + each.spread["error_variance"] == pytest.approx(100 - row.mean)
        assert (each.spread["error_bias"], each.spread["nll_variance"]) == (error.bias, loss.variance)
        assert found[each.arm.name, "error_bias"].seeds == 2
    ls = found[LS, "accuracy"]
    gain = paired_gain(accuracies[LS], accuracies[CE])
    assert (ls.difference, ls.difference_low, ls.difference_high) == pytest.approx(gain)
    assert not any("keep_weights" in note for note in cell.notes)


def test_diverged_arm_is_noted_and_the_others_are_compared(home: Path) -> None:
    study = opened(home)
    first = study.spec.confirmation_seeds()[0]
    ls = ("confirmation", 0.1, first)
    lost = [
        replace(r, state="diverged") if (r.phase, r.params["rate"], r.train_seed) == ls else r for r in study.records
    ]
    (cell,) = study._replace(records=lost).analyse(NOISY)
    arms = {each.arm.name: each for each in cell.arms}
    assert arms[LS].networks == {}
    assert arms[LS].notes == [f"1 of 2 seeds diverged, left out: {first}"]
    assert len(arms[CE].networks) == 1
    assert {row.arm for row in measured(cell)} == {each for each in arms if each != LS}


def run_of(number: int, params: dict[str, Any], phase: Phase, method: str = "gls", accuracy: float = 50.0) -> Record:
    seeds = tiny().confirmation_seeds()
    seed = seeds[number % 2] if phase == "confirmation" else number
    return record(number, params=params, phase=phase, method=method, train_seed=seed, val=[accuracy])


def test_chosen_parameters_that_are_a_baseline_stand_once() -> None:
    spec = tiny("search.readout=best")
    ce, ls = gls(spec).baselines().ce, gls(spec).baselines().ls
    records = [run_of(0, ce, "search", accuracy=60), run_of(1, ls, "search")]
    records += [run_of(number, params, "confirmation") for number, params in enumerate([ce, ce, ls, ls])]
    arms = arms_of(spec, NOISY, records)
    assert [(arm.name, arm.chosen, list(arm.runs)) for arm in arms] == [
        (CE, True, spec.confirmation_seeds()),
        (LS, False, spec.confirmation_seeds()),
    ]


def test_baselines_of_another_method_may_come_from_the_gls_cell() -> None:
    spec = tiny("search.readout=best", "method=[gls, gce]")
    plain = MethodSpec.of(spec, "gls").baselines()
    best = {"warmup": 0, "gce.q": 0.7}
    records = [run_of(0, best, "search", "gce"), *(run_of(n, best, "confirmation", "gce") for n in range(2))]
    records += [run_of(n, params, "confirmation") for n, params in enumerate([plain.ce, plain.ce, plain.ls, plain.ls])]
    arms = arms_of(spec, Cell(NOISY.level, "gce"), records)
    assert [(arm.name, len(arm.runs)) for arm in arms] == [(CHOSEN, 2), (CE, 2), (LS, 2)]
    assert {run.method for run in arms[1].runs.values()} == {"gls"}  # under which their weights lie


def test_what_is_not_trained_yet_is_named(home: Path) -> None:
    study = opened(home)
    begun = [r for r in study.records if r.phase == "search" or r.params.get("rate") != 0.1]
    lines = lacking(study.folder, study.spec, begun, [NOISY])
    assert lines == ["twonorm/symmetric-0.4/gls: LS on the first fresh seed: not trained yet"]
    with pytest.raises(InputError, match=r"(?s)study 'tiny': weights are missing:\n  .*LS.*tosmooth run tiny"):
        study._replace(records=begun).analyse(NOISY)


def test_level_of_the_option_alone_is_analysed() -> None:
    spec = tiny()
    assert asked(spec, []) == spec.cells()
    assert asked(spec, ["symmetric-0.4"]) == asked(spec, [NOISY.level]) == [NOISY]
    with pytest.raises(InputError, match=r"^--level: 'worst' is refused: one of clean, symmetric-0\.4$"):
        asked(spec, ["clean", "worst"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--level", "worst"], "--level: 'worst' is refused: one of clean, symmetric-0.4"),
        (["--epsilon", "0"], "epsilon: 0.0 is refused: above 0 and finite"),
        (["--attacked", "-1"], "attacked: -1 is refused: 0 or more examples"),
    ],
)
def test_options_that_are_wrong_are_named(command: Command, home: Path, arguments: list[str], message: str) -> None:
    code, out, err = command("analyse", "tiny", "--home", home, *arguments)
    assert (code, out) == (2, "")
    assert f"error: {message}" in err
    assert not (home / "studies" / "tiny" / "analysis").exists()


def test_weights_that_are_gone_or_damaged_are_named(command: Command, home: Path) -> None:
    study = opened(home)
    (ce,) = [arm for arm in arms_of(study.spec, NOISY, study.records) if arm.name == CE]
    path = study.folder.weights(ce.runs[study.spec.confirmation_seeds()[0]].key)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    quick = ("--level", "symmetric-0.4", "--attacked", "0", "--no-student")
    code, _, err = command("analyse", "tiny", "--home", home, *quick)
    assert code == 2
    assert f"{path}: missing or damaged (its digest does not fit): bring it back from a copy" in err
    path.unlink()
    code, _, err = command("analyse", "tiny", "--home", home)
    assert code == 2
    assert f"{NOISY.key}: CE on the first fresh seed: {path} is gone" in err


def test_study_without_a_clean_test_set_or_with_other_data_is_refused(command: Command, home: Path) -> None:
    folder = Home(home).existing("tiny")
    spec, levels = folder.spec(), folder.levels()
    folder.keep(spec, {name: dataclasses.replace(level, test_size=0) for name, level in levels.items()})
    code, _, err = command("analyse", "tiny", "--home", home)
    assert code == 2
    assert "error: dataset.table.test: None is refused: an analysis needs a clean test set, and twonorm/clean" in err
    folder.keep(spec, {name: dataclasses.replace(level, digest="other") for name, level in levels.items()})
    code, _, err = command("analyse", "tiny", "--home", home)
    assert code == 2
    assert "twonorm/clean: the data changed since study 'tiny' was first run" in err


def test_study_that_is_running_is_left_alone(command: Command, home: Path) -> None:
    with Home(home).existing("tiny").locked():
        code, _, err = command("analyse", "tiny", "--home", home)
    assert code == 2
    assert "study 'tiny' is running already" in err
