"""The command `tosmooth`: every command on a finished study, and what it says to a wrong input."""

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from tests.search.conftest import Command, Finished
from tests.search.tools import TINY, records_of, tosmooth
from tests.tools import encoded
from tosmooth.search.preflight.limits import usable_cores
from tosmooth.search.report.row import COLUMNS
from tosmooth.search.report.winner import write_winner
from tosmooth.search.spec.loading import load_study, shipped_studies
from tosmooth.search.storage.home import Home
from tosmooth.trainables.config import TrialConfig
from tosmooth.trainables.data import cifar
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.networks.build import build_network


@pytest.fixture
def home(finished: Finished, tmp_path: Path) -> Path:
    """A home of one's own with the finished study."""
    return Path(shutil.copytree(finished.home, tmp_path / "home"))


@pytest.fixture
def study_file(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY, encoding="utf-8")
    return file


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['tosmooth', '--help']\n"
        "from tosmooth.search.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "heavy = {'torch', 'ray', 'mlflow', 'optuna', 'pydantic', 'numpy', 'pyarrow', 'sklearn', 'yaml'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for name in (
        "studies",
        "describe",
        "run",
        "status",
        "show",
        "export",
        "best",
        "plot",
        "analyse",
        "ui",
        "doctor",
        "data",
        "delete",
    ):
        assert name in done.stdout


def test_studies_lists_each_with_question_levels_cost_and_data_on_a_line(command: Command) -> None:
    code, out, _ = command("studies")
    lines = out.splitlines()
    assert code == 0
    assert [line.partition(":")[0] for line in lines] == shipped_studies()
    for line in lines:
        assert "? Levels: " in line
        assert " Cost: " in line
        assert " Data: " in line
    (twonorm,) = (line for line in lines if line.startswith("twonorm:"))
    assert twonorm.endswith("Data: none.")
    assert "Levels: clean, symmetric-0.1, symmetric-0.2" in twonorm


def test_describe_says_what_would_run_and_trains_nothing(command: Command, study_file: Path, tmp_path: Path) -> None:
    code, out, _ = command("describe", study_file)
    assert code == 0
    words = " ".join(out.split())
    assert "level classes train validation test noise rate" in words
    assert "twonorm/clean 2 300 300 200 0.000 %" in words
    assert "searched: rate -2 to 0.8 (symlog)" in words
    assert "searched: warmup 0 to 2 (linear)" in words
    # 2 cells x (4 + at most 4 x 2) runs x 3 epochs.
    assert "2 cells of 4 trials (posterior, pruner none) and in all at most 16 confirmation runs on 2 seeds" in words
    assert "at most 72 epochs" in words
    assert re.search(r"time: at most about \d+ s of training on this machine's CPUs when idle, 1 trial at once", words)
    assert re.search(r"disk: at most about [34]\.\d MB, with these warm-ups", words)
    assert "data-dir: data/ in the home (default)" in words
    assert f"this process may use: {usable_cores()} CPUs, " in words
    assert list(tmp_path.iterdir()) == [study_file]
    code, out, _ = command("describe", study_file, "--name", "another")
    assert (code, out.splitlines()[0].partition(":")[0]) == (0, "another")


def test_describe_as_json_is_for_machines(command: Command, study_file: Path) -> None:
    code, out, _ = command("describe", study_file, "--json", "--set", "search.trials=5", "--seed", 3)
    facts = json.loads(out)
    assert code == 0
    assert (facts["study"], facts["trials_per_cell"], facts["seed"]) == ("tiny", 5, 3)
    assert facts["levels"][0] == {
        "level": "twonorm/clean",
        "classes": 2,
        "train": 300,
        "validation": 300,
        "test": 200,
        "noise_rate": 0.0,
        "class_names": [],  # called by their numbers
        "class_counts": [285, 315],
        "notes": [],
    }
    assert facts["resources"] == {"cpus": 1.0, "gpus": None, "concurrent": 1, "accelerator": None}
    assert (facts["this_machine"]["CPU"], facts["this_machine"]["trials_at_once"]) == (usable_cores(), 1)


def test_status_counts_per_cell(command: Command, home: Path, study_file: Path) -> None:
    for study in ("tiny", study_file):  # by its name, or by the file it was run from
        code, out, _ = command("status", study, "--home", home)
        assert code == 0
        title, columns, *rows = (line.split() for line in out.splitlines())
        assert title == ["twonorm,", "finished"]
        assert " ".join(columns) == "cell complete running pruned diverged failed confirmed best so far"
        assert [row[:6] for row in rows] == [[noise, "4", "0", "0", "0", "0"] for noise in ("clean", "symmetric-0.4")]
        assert all(row[-1] == "%)" for row in rows), "a row takes one line, and the best so far is not cut"
        for row in rows:  # 4 where cross-entropy or label smoothing is the choice
            assert row[6] in ("4/4", "6/6")
    code, out, _ = command("studies", "--home", home)
    assert (code, out.splitlines()[-1]) == (0, "tiny: finished; " + out.rpartition("finished; ")[2].strip())
    assert re.search(r"\ntiny: finished; (16|18|20) trials; twonorm: clean, symmetric-0\.4$", out.rstrip())


def test_a_study_that_may_go_on_is_not_finished(command: Command, home: Path, study_file: Path) -> None:
    folder = Home(home).existing("tiny")
    folder.keep(load_study(study_file, ["search.trials=5"]), folder.levels())
    assert "twonorm, not running" in command("status", "tiny", "--home", home).out
    assert "\ntiny: not finished; " in command("studies", "--home", home).out
    with folder.locked():
        assert "\ntiny: running: process " in command("studies", "--home", home).out
    (folder.path / "study.yaml").write_text("name: [", encoding="utf-8")
    assert "\ntiny: cannot be read: " in command("studies", "--home", home).out


def test_show_prints_the_table_of_the_run_again(finished: Finished, command: Command, home: Path) -> None:
    code, out, err = command("show", "tiny", "--home", home)
    assert (code, err) == (0, "")
    assert [line.rstrip() for line in out.splitlines()] == [
        line.rstrip() for line in finished.process.stdout.splitlines()
    ]


@pytest.mark.slow
@pytest.mark.ray
def test_a_finished_study_needs_no_resources_but_asks_for_no_others(command: Command, home: Path) -> None:
    folder = Home(home).existing("tiny")
    spec = folder.spec()
    code, _, err = command("run", "tiny", "--home", home, "--set", "resources.cpus=6400")
    assert (code, "error: resources: 6400 CPUs" in err, folder.spec() == spec) == (2, True, True)
    folder.keep(load_study(folder.spec_file, ["resources.cpus=6400"], kept=True), folder.levels())
    assert command("run", "tiny", "--home", home).code == 0, "it came from a larger machine"
    code, _, err = command("run", "tiny", "--home", home, "--set", "search.trials=5")
    assert (code, "error: resources: 6400 CPUs" in err) == (2, True)


def test_columns_of_export_are_short_or_all(command: Command, home: Path) -> None:
    def heading(*arguments: str) -> list[str]:
        out = command("export", "tiny", "--home", home, "--format", "csv", *arguments).out
        return str(out).splitlines()[0].split(",")

    assert len(heading()) == len(heading("--columns", "all")) == len(COLUMNS)
    assert heading("--columns", "short")[:3] == ["noise", "noise_rate", "best_rate"]
    short, whole = (command("export", "tiny", "--home", home, "--columns", kind).out for kind in ("short", "all"))
    assert command("export", "tiny", "--home", home).out == short != whole
    for wrong in (("--columns", "few"), ("--columns", "short", "--trials")):
        code, _, err = command("export", "tiny", "--home", home, *wrong)
        assert (code, err.startswith(f"error: --columns: '{wrong[1]}' is refused")) == (2, True)


def test_version_and_short_help(command: Command) -> None:
    assert command("--version") == (0, f"tosmooth {version('tosmooth')}\n", "")
    for arguments in ((), ("run",), ("data",), ("data", "fetch")):
        assert command(*arguments, "-h") == command(*arguments, "--help")


@pytest.mark.parametrize("format", ["csv", "markdown", "latex", "parquet", "json"])
@pytest.mark.parametrize("trials", [[], ["--trials"]], ids=["rows", "trials"])
def test_export_writes_each_format(
    format: str, trials: list[str], command: Command, home: Path, tmp_path: Path
) -> None:
    file = tmp_path / f"out.{format}"
    code, out, err = command("export", "tiny", "--home", home, "--format", format, "--output", file, *trials)
    assert (code, out, err) == (0, "", "")
    if format == "parquet":
        table = pq.read_table(file)
        assert table.num_rows == 2 if not trials else 16 <= table.num_rows <= 20
        assert {"noise", "rate" if trials else "best_rate"} <= set(table.column_names)
        return
    text = file.read_text(encoding="utf-8")
    assert "symmetric-0.4" in text
    if format == "json":
        rows = json.loads(text)
        assert [row["noise"] for row in rows] == ["clean", "symmetric-0.4"] if not trials else len(rows) >= 16
    shown = command("export", "tiny", "--home", home, "--format", format, *trials)
    assert shown.out == text, "what goes to the screen is what goes to the file"


def test_export_of_a_dataset_is_one_table_over_its_studies(command: Command, home: Path) -> None:
    code, out, _ = command("export", "--dataset", "twonorm", "--home", home, "--format", "json")
    assert code == 0
    rows = json.loads(out)
    assert [row["noise"] for row in rows] == ["clean", "symmetric-0.4"]
    assert all(row["note"].startswith("study tiny") for row in rows)


def test_export_of_a_dataset_goes_on_without_a_study_that_cannot_be_read(command: Command, home: Path) -> None:
    (broken := home / "studies" / "broken").mkdir()
    (broken / "study.yaml").write_text("name: [", encoding="utf-8")
    # A storage that is set for other studies is none of this one, whose journal lies in the home.
    others = ("--storage", "sqlite:////nowhere/optuna.db")
    arguments = ("export", "--dataset", "twonorm", "--home", home, "--format", "json", *others)
    done = tosmooth(*arguments, cwd=home.parent)
    assert (done.returncode, len(json.loads(done.stdout))) == (0, 2)
    assert "study broken is left out: " in done.stderr


def test_best_gives_a_study_that_runs_and_weights_that_load(command: Command, home: Path, tmp_path: Path) -> None:
    output = tmp_path / "best"
    code, out, _ = command("best", "tiny", "--level", "symmetric-0.4", "--output", output, "--home", home)
    assert code == 0
    study, weights = (output / f"tiny-symmetric-0.4.{suffix}" for suffix in ("yaml", "safetensors"))
    assert out.splitlines()[:3] == [str(study), str(weights), ""]
    described = json.loads(command("describe", study, "--json").out)
    assert described["cost"] == "not measured", "the whole study's is another"
    assert [level["level"] for level in described["levels"]] == ["twonorm/symmetric-0.4"]
    with safe_open(weights, "pt") as file:
        config = TrialConfig.from_dict(json.loads(file.metadata()["trial"]))
    table = json.loads(command("export", "tiny", "--home", home, "--format", "json").out)
    assert config.rate == table[1]["best_rate"]
    assert described["space"]["rate"] == f"one of {config.rate}"
    network = build_network(config.network, (20,), 2)
    network.load_state_dict(load_file(weights))
    assert network(torch.zeros(1, 20)).shape == (1, 2)


def test_plot_draws_into_the_study_or_where_told(command: Command, home: Path, tmp_path: Path) -> None:
    expected = {
        "twonorm-rate-over-noise.png",
        *(
            f"twonorm-{n}-gls-{k}.png"
            for n in ("clean", "symmetric-0.4")
            for k in ("accuracy-over-rate", "learning-curves")
        ),
    }
    code, out, _ = command("plot", "tiny", "--home", home, "--output", tmp_path / "pictures")
    assert code == 0
    assert {Path(line).name for line in out.splitlines()} == expected
    assert {file.name for file in (tmp_path / "pictures").iterdir()} == expected
    assert {file.name for file in (home / "studies" / "tiny" / "plots").iterdir()} == expected


def test_delete_asks_and_keeps_the_study_unless_told_yes(command: Command, home: Path) -> None:
    code, out, err = command("delete", "tiny", "--home", home, answer="n\n")
    assert (code, out.strip()) == (1, "")
    assert "Delete study tiny with all its trials (" in err
    assert (home / "studies" / "tiny" / "study.yaml").exists()


@pytest.mark.parametrize("way", ["--yes", "y"])
def test_delete_says_what_it_freed_and_the_study_is_gone(way: str, command: Command, home: Path) -> None:
    arguments = ["delete", "tiny", "--home", home]
    code, out, _ = command(*arguments, "--yes") if way == "--yes" else command(*arguments, answer="y\n")
    assert code == 0
    assert re.fullmatch(r"Deleted tiny; \d+ [kM]B freed", out.strip())
    assert list((home / "studies").iterdir()) == []
    assert not any((home / "artifacts").rglob("*.png"))
    code, _, err = command("status", "tiny", "--home", home)
    assert (code, "is not in the home" in err) == (2, True)


def test_delete_refuses_a_study_that_runs(command: Command, home: Path) -> None:
    from tosmooth.search.storage.home import Home

    with Home(home).existing("tiny").locked():
        code, _, err = command("delete", "tiny", "--home", home, "--yes")
    assert (code, "is running already" in err) == (2, True)
    assert (home / "studies" / "tiny" / "journal.log").exists()


@pytest.fixture
def neighbour(home: Path) -> Path:
    """A folder beside `studies` that looks like a study."""
    return Path(shutil.copytree(home / "studies" / "tiny", home / "x"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "../x"],
        ["export", "../x"],
        ["best", "../x", "--level", "clean"],
        ["plot", "../x"],
        ["delete", "../x", "--yes"],
        ["delete", "..", "--yes"],
        ["delete", ".", "--yes"],
        ["delete", "", "--yes"],
        ["run", "twonorm", "--name", "../x"],
        ["run", "twonorm", "--set", "name=../x"],
    ],
    ids=" ".join,
)
def test_a_name_that_leads_out_of_the_home_is_refused(
    arguments: list[str], command: Command, home: Path, neighbour: Path
) -> None:
    before = {file: file.read_bytes() for file in home.rglob("*") if file.is_file()}
    code, out, err = command(*arguments, "--home", home)
    assert (code, out) == (2, "")
    assert "name: " in err
    assert "is refused: lower-case letters, digits, - and _" in err
    assert {file: file.read_bytes() for file in home.rglob("*") if file.is_file()} == before


def test_an_absolute_path_is_no_name_either(command: Command, home: Path, neighbour: Path) -> None:
    code, _, err = command("delete", neighbour, "--yes", "--home", home)
    assert (code, "is refused" in err) == (2, True)
    assert (neighbour / "study.yaml").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("search.trails=5", ["search.trails: unknown key", "did you mean 'trials'"]),
        ("spcae.rate=1", ["spcae: unknown key", "did you mean 'space'"]),
        ("space.rate.low=0.9", ["space.rate: [0.9, 0.8] is refused: low must be below high"]),
        ("space.rate.high=1.5", ["space.rate: 1.5 is refused: a finite smoothing rate of at most 1"]),
        ("name=../x", ["name: '../x' is refused"]),
        ("dataset.noise=[clean, wrost]", ["'wrost' is unknown for twonorm: one of instance-E, symmetric-E"]),
        ("dataset.name=cifar11", ["dataset.name: 'cifar11' is unknown: one of cifar10"]),
        ("search.sampler=gpp", ["search.sampler: 'gpp' is refused: one of posterior, tpe, gp, random, grid"]),
        ("training.epochs=0", ["training.epochs: 0 is refused: at least 1"]),
        ("confirmation.seeds=0", ["confirmation.seeds: 0 is refused: at least 1"]),
        ("network.name=cnn", ["network", "refused"]),
        ("nonsense", ["--set: 'nonsense' is refused", "write key.path=value, such as training.epochs=20"]),
    ],
)
@pytest.mark.parametrize("what", ["run", "describe"])
def test_a_wrong_study_is_refused_by_key_value_and_rule(
    what: str, change: str, words: list[str], command: Command, study_file: Path
) -> None:
    code, out, err = command(what, study_file, "--set", change)
    assert (code, out) == (2, "")
    assert "\nerror: " in f"\n{err}"
    assert "Traceback" not in err
    for word in words:
        assert word in err
    assert not Path("tosmooth-home").exists()


@pytest.mark.parametrize("what", ["run", "describe"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("resources={cpus: 6400, gpus: 2}", "resources: 6400 CPUs and 2 GPUs a trial are refused: Ray found "),
        ("resources={accelerator: H999}", "resources.accelerator: 'H999' is refused: Ray found "),
        ("network={name: cnn}", "network.name: 'cnn' is refused"),
    ],
)
def test_a_study_that_this_machine_cannot_run_is_refused_and_leaves_nothing(
    what: str, change: str, words: str, command: Command, study_file: Path, tmp_path: Path
) -> None:
    code, out, err = command(what, study_file, "--set", change)
    assert (code, out, words in err) == (2, "", True), err
    assert list(tmp_path.iterdir()) == [study_file]


@pytest.mark.parametrize("what", ["run", "describe"])
def test_a_study_without_a_folder_for_rays_sockets_is_refused_and_leaves_nothing(
    what: str, command: Command, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tosmooth.search.run.budget.places", lambda: [tmp_path / ("x" * 100)])
    code, out, err = command(what, study_file)
    assert (code, out, "TMPDIR: " in err) == (2, "", True), err
    assert list(tmp_path.iterdir()) == [study_file]


def test_a_budget_beyond_reason_is_described_with_a_warning(command: Command, study_file: Path) -> None:
    code, out, err = command("describe", study_file, "--set", "training.epochs=100000", "--set", "search.trials=5000")
    assert (code, "epochs of training" in out) == (0, True)
    assert "warning: budget: at most 1,001,600,000 epochs of training, at most about " in " ".join(err.split())


def test_a_study_for_a_cluster_is_described_anywhere(command: Command, study_file: Path) -> None:
    code, out, _ = command("describe", study_file, "--set", "resources.gpus=8", "--address", "ray-head:6379")
    assert (code, "time not estimated: the trials run on a cluster" in out) == (0, True)


def test_an_unknown_study_is_refused_with_the_nearest(command: Command) -> None:
    code, _, err = command("run", "twonrom")
    assert (code, "study 'twonrom': unknown; did you mean 'twonorm'?" in err) == (2, True)
    code, _, err = command("run", "nowhere/mine.yaml")
    assert (code, "nowhere/mine.yaml: the study file cannot be read" in err) == (2, True)


def test_a_prior_study_that_the_home_lacks_is_refused_before_anything_is_written(
    command: Command, home: Path, study_file: Path
) -> None:
    code, out, err = command("run", study_file, "--home", home, "--name", "next", "--prior-study", "gone")
    assert (code, out) == (2, "")
    assert f"search.prior_study: 'gone' is refused: a study of the home {home} (there: tiny)" in err
    assert not (home / "studies" / "next").exists()
    code, _, err = command("run", study_file, "--home", home, "--name", "next", "--prior-study", "../x")
    assert (code, "search.prior_study: '../x' is refused: lower-case letters" in err) == (2, True)


def test_delete_of_a_study_that_is_not_there_says_what_is(command: Command, home: Path) -> None:
    code, _, err = command("delete", "nope", "--home", home)
    assert (code, err) == (2, f"error: study 'nope' is not in the home {home} (there: tiny)\n")
    assert command("delete", "tny", "--home", home).err.endswith("(there: tiny); did you mean 'tiny'?\n")


@pytest.mark.parametrize("what", ["status", "show", "export", "plot"])
def test_a_study_that_was_never_run_is_refused_with_what_is_there(what: str, command: Command, home: Path) -> None:
    code, _, err = command(what, "twonorm", "--home", home)
    assert code == 2
    assert f"study 'twonorm' is not in the home {home} (there: tiny); run it first" in err
    code, _, err = command(what, "twonorm", "--home", home / "none")
    assert (code, "(there: none)" in err) == (2, True)
    assert not (home / "none").exists()


def test_export_wants_a_study_or_a_dataset(command: Command, home: Path) -> None:
    for arguments in ([], ["tiny", "--dataset", "twonorm"]):
        code, _, err = command("export", *arguments, "--home", home)
        assert (code, "export: name either a study or --dataset" in err) == (2, True)
    code, _, err = command("export", "--dataset", "cifar10n", "--home", home)
    assert (code, "--dataset: no study of the home" in err, "(datasets there: twonorm)" in err) == (2, True, True)
    code, _, err = command("export", "tiny", "--format", "xls", "--home", home)
    assert (code, "xls" in err, "csv" in err) == (2, True, True)


def test_best_of_an_unknown_level_is_refused_with_those_there_are(command: Command, home: Path) -> None:
    code, _, err = command("best", "tiny", "--level", "worst", "--home", home)
    assert (code, "--level: 'worst' is unknown: one of clean, symmetric-0.4" in err) == (2, True)


@pytest.mark.parametrize("name", ["", "a/b", "a:1"])
def test_a_name_that_mlflow_refuses_is_refused_before_anything_is_written(
    command: Command, home: Path, tmp_path: Path, name: str
) -> None:
    output = tmp_path / "best"
    code, _, err = command("best", "tiny", "--level", "clean", "--register", name, "--output", output, "--home", home)
    assert (code, err) == (2, f"error: --register: {name!r} is refused: a name without / and :\n")
    assert not output.exists()


def test_best_before_the_end_is_refused(home: Path, tmp_path: Path) -> None:
    folder = Home(home).existing("tiny")
    searched = [record for record in records_of(home) if record.phase == "search"]
    with pytest.raises(InputError, match="its best rate is not confirmed yet; run the study to its end first"):
        write_winner(folder, folder.spec(), searched, "clean", tmp_path / "best", lambda: Home(home).folders(None))


def test_weights_that_are_gone_or_damaged_are_named_with_the_study_that_trains_them_again(
    command: Command, home: Path, tmp_path: Path
) -> None:
    files = list((home / "studies" / "tiny" / "weights").iterdir())
    for file in files:
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    for why in ("its digest does not fit", "No such file"):
        code, _, err = command("best", "tiny", "--level", "clean", "--home", home, "--output", tmp_path / "best")
        assert code == 2
        assert re.search(rf"weights/.*: missing or damaged \(.*{why}.*\): bring it back from a copy, or train it", err)
        assert not list((tmp_path / "best").glob("*.safetensors"))
        for file in files:
            file.unlink(missing_ok=True)
    (study,) = (tmp_path / "best").iterdir()
    assert f"tosmooth run {study}, which is written" in err


@pytest.mark.parametrize(
    "name", ["run", "describe", "status", "export", "best", "plot", "ui", "doctor", "delete", "data fetch"]
)
def test_help_says_what_is_meant_where_nothing_is_given(name: str, command: Command) -> None:
    """Rich takes a word in brackets for markup, and swallows it."""
    code, out, _ = command(*name.split(), "--help")
    words = " ".join(re.sub("[│╭╮╰╯─]", " ", out).split())
    assert code == 0
    for option, default in {
        "--data-dir": "data/ in the home",
        "--storage": "a journal file in the home",
        "--tracking-uri": "a database in the home",
        "--address": "a Ray of its own",
        "--cache-dir": "cache/ in the home",
        "--cifarn-url": "its authors' repository",
    }.items():
        assert (option in words) == (f"[default: ({default})]" in words)
    assert ("standard output" in words) == (name == "export")
    assert ("the study's own" in words) == (name == "plot")
    assert not re.search(r" [.,;](?= |$)", words)


def test_ui_of_an_empty_home_is_refused(command: Command, tmp_path: Path) -> None:
    code, _, err = command("ui", "--home", tmp_path / "none")
    assert (code, "holds no study yet; run one first" in err) == (2, True)
    assert not (tmp_path / "none").exists()


def test_missing_data_are_refused_with_what_to_do(command: Command, tmp_path: Path) -> None:
    code, out, err = command("run", "cifar10n", "--data-dir", tmp_path / "data")
    assert (code, out) == (2, "")
    assert str(tmp_path / "data") in err
    assert "tosmooth data fetch cifar10" in err
    assert "--data-dir" in err
    assert not Path("tosmooth-home", "studies").exists()


def test_data_verify_says_what_is_missing(command: Command, tmp_path: Path) -> None:
    code, out, _ = command("data", "verify", "cifar10n", "--data-dir", tmp_path)
    assert code == 2
    assert "CIFAR-10_human.pt" in out
    code, _, err = command("data", "verify", "cifra10")
    assert (code, "'cifra10'" in err, "cifar10" in err) == (2, True, True)


def test_data_verify_of_the_real_files(command: Command, real_data: Path) -> None:
    code, out, _ = command("data", "verify", "cifar10n", "--data-dir", real_data)
    assert code == 0
    assert len(re.findall(r"^ok +\S+/CIFAR-10_human\.pt \(873e69c3", out, re.MULTILINE)) == 1
    assert "\nok       order: the official one (first labels 6 9 9 4 1 1 2 7 8 3)\n" in out
    assert "\nok       human labels: CIFAR-10_human.pt belongs to these images" in out


def test_data_verify_of_images_in_an_order_of_their_own(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar, "PARTS", {"train": 20, "test": 20})
    (tmp_path / "cifar10").mkdir()
    labels = np.arange(20) // 2
    table = pa.table({"img": [encoded(np.full((4, 4, 3), 9 * label, np.uint8)) for label in labels], "label": labels})
    for part in ("train", "test"):
        pq.write_table(table, tmp_path / "cifar10" / f"{part}.parquet")
    words = "order: sorted by class (first labels 0 0 1 1 2 2 3 3 4 4)"
    code, out, _ = command("data", "verify", "cifar10", "--data-dir", tmp_path)
    assert (code, out.splitlines()[-1]) == (0, f"ok       {words}")
    code, out, _ = command("data", "verify", "cifar10n", "--data-dir", tmp_path)
    assert (code, f"wrong    {words}: human labels belong to the official one" in out) == (2, True)


def test_labels_of_another_dataset_are_refused(command: Command, real_data: Path, tmp_path: Path) -> None:
    """CIFAR-100's human labels under the name of CIFAR-10's."""
    folder = tmp_path / "data"
    folder.mkdir()
    for entry in real_data.iterdir():
        (folder / entry.name).symlink_to(entry)
    labels = next(real_data.rglob("CIFAR-100_human.pt"))
    for name in [file.name for file in folder.iterdir() if file.name == "CIFAR-10_human.pt"]:
        (folder / name).unlink()
    (folder / "CIFAR-10_human.pt").symlink_to(labels)
    code, _, err = command("describe", "cifar10n", "--data-dir", folder, "--home", tmp_path / "home")
    assert code == 2
    assert "CIFAR-10_human.pt" in err


TABLE = """
name: mine
dataset: {name: mine, noise: [given], table: {train: train.parquet, features: [a, b]}}
network: {name: mlp}
"""


@pytest.mark.slow
def test_a_table_of_one_s_own_runs_through_describe_and_a_corrupt_one_is_refused(
    command: Command, tmp_path: Path
) -> None:
    generator = np.random.default_rng(0)
    columns = {"a": generator.normal(size=40), "b": generator.normal(size=40), "label": np.arange(40) % 2}
    file, study = tmp_path / "train.parquet", tmp_path / "mine.yaml"
    pq.write_table(pa.table(columns), file)
    study.write_text(TABLE, encoding="utf-8")
    code, out, _ = command("describe", study, "--data-dir", tmp_path)
    assert code == 0
    assert "mine/given 2 36 4 0 unknown" in " ".join(out.split())
    file.write_bytes(file.read_bytes()[:-30])
    code, _, err = command("describe", study, "--data-dir", tmp_path)
    assert code == 2
    assert str(file) in err
    file.unlink()
    code, _, err = command("describe", study, "--data-dir", tmp_path)
    assert (code, f"'train.parquet': there is no such file in {tmp_path}" in err) == (2, True)


@pytest.mark.slow
def test_a_study_kept_under_its_own_name_is_found_by_it(command: Command, home: Path) -> None:
    code, out, _ = command("describe", "tiny", "--json", "--home", home)
    assert (code, json.loads(out)["levels"][0]["train"]) == (0, 300)


def test_another_seed_under_the_same_name_is_refused_with_the_difference(command: Command, home: Path) -> None:
    code, _, err = command("run", "tiny", "--seed", 5, "--home", home)
    assert code == 2
    assert "seed: 0 -> 5" in err
    assert "--name tiny-2" in err


def test_every_shipped_study_loads() -> None:
    assert {load_study(name).name for name in shipped_studies()} == set(shipped_studies())
