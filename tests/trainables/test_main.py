"""The command `python -m tosmooth.trainables`: one trial, without Ray and its like."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT
from tosmooth.trainables.__main__ import main
from tosmooth.trainables.checkpointing.weights import read_weights, save_weights
from tosmooth.trainables.config import DataConfig, TrialConfig

TINY = ["--set", "data.size=300", "--set", "data.test_size=100", "--epochs", "2", "--device", "cpu"]

# Runs the command where none of what only the search needs can be imported.
BARE = """
import runpy, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"ray", "optuna", "mlflow", "pydantic", "typer", "rich", "yaml", "safetensors"}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
runpy.run_module("trainables", run_name="__main__")
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def lines(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """What the command prints on the standard output; nothing may go elsewhere."""
    main([*TINY, *arguments])
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out.splitlines()


def records(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(capsys, "--json", *arguments)]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line with which the command ends with exit code 2."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    captured = capsys.readouterr()
    assert (ended.value.code, captured.out) == (2, "")
    assert captured.err.count("\n") == 1
    return captured.err.strip()


def test_command_trains_where_nothing_of_the_search_is_installed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", BARE, *TINY, "--noise", "symmetric-0.4", "--rate", "-0.4", "--threads", "1"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 5
    assert list(tmp_path.iterdir()) == []  # twonorm needs no folder


def test_noise_and_sizes_come_first_then_a_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    found = lines(capsys, "--noise", "symmetric-0.4", "--rate", "-0.4", "--warmup", "1", "--train-seed", "7")
    # 126 of 300 labels became wrong
    sizes = "270 train, 30 validation, 100 test examples, 2 classes, noise rate 42.000 %"
    assert found[0] == f"twonorm/symmetric-0.4: {sizes}"
    assert found[1] == "mlp on cpu in float32; r = -0.4 after a warm-up of 1 of 2 epochs; seed 7"
    assert found[2].split() == [
        *("epoch", "lr", "train_loss", "train_accuracy", "val_accuracy", "test_accuracy", "test_ece", "seconds")
    ]
    assert [line.split()[:2] for line in found[3:]] == [["1", "0.1"], ["2", "0.1"]]
    assert len({len(line) for line in found[2:]}) == 1  # aligned


def test_json_lines_hold_the_trial_its_data_and_every_metric(capsys: pytest.CaptureFixture[str]) -> None:
    opening, *epochs = records(capsys, "--noise", "symmetric-0.4", "--set", "rate=-0.4")
    sizes = {"train": 270, "validation": 30, "test": 100, "classes": 2, "noise_rate": 0.42}
    assert opening["data"] == sizes
    trial = TrialConfig.from_dict(opening["trial"])
    assert (trial.data.noise, trial.rate, trial.training.epochs) == ("symmetric-0.4", -0.4, 2)
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    assert [len(epoch["metrics"]) for epoch in epochs] == [20, 22]  # at the end also that of each class
    assert all(epoch["diverged"] is None for epoch in epochs)


def test_noise_rate_is_estimated_where_asked_and_only_for_cross_entropy(capsys: pytest.CaptureFixture[str]) -> None:
    *_, epoch, estimate = lines(capsys, "--estimate-noise")
    assert epoch.split()[0] == "2"
    assert re.fullmatch(r"noise rate, estimated from the noisy labels: \d+\.\d{3} %", estimate)
    assert "estimated" not in "".join(lines(capsys))
    message = refusal(capsys, "--estimate-noise", "--rate", "-0.4")
    assert message == "error: --estimate-noise: -0.4 is refused: for gls at rate 0 alone"


def test_trial_file_is_run_and_flags_change_it(capsys: pytest.CaptureFixture[str]) -> None:
    config = TrialConfig(data=DataConfig(dataset="twonorm", size=300, validation_fraction=0.5), rate=-0.8, warmup=2)
    Path("trial.json").write_text(json.dumps(config.to_dict()))
    second = "training.second_optimizer.lr=0.01"  # a section that is null in the file
    opening, *epochs = records(
        capsys, "trial.json", "--rate", "0.1", "--set", "training.recipe=two-phase", "--set", second
    )
    trial = TrialConfig.from_dict(opening["trial"])
    assert (trial.rate, trial.warmup, trial.data.validation_fraction) == (0.1, 2, 0.5)
    assert trial.training.second_optimizer is not None
    assert trial.training.second_optimizer.lr == 0.01
    assert len(epochs) == 2


def test_set_has_the_last_word(capsys: pytest.CaptureFixture[str]) -> None:
    opening = records(capsys, "--rate", "0.1", "--set", "rate=0.2", "--set", "rate=0.3")[0]
    assert opening["trial"]["rate"] == 0.3


def test_what_a_network_prints_is_no_line_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    factory = "network.factory=tests.trainables.networks.nets:prints"
    main([*TINY, "--json", "--dataset", "digits", "--set", factory])
    captured = capsys.readouterr()
    assert len([json.loads(line) for line in captured.out.splitlines()]) == 3  # the trial, and two epochs
    assert "made" in captured.err


def test_saved_weights_are_a_trial_that_can_be_run_again(capsys: pytest.CaptureFixture[str]) -> None:
    first = records(capsys, "--rate", "-0.4", "--train-seed", "5", "--weights", "new/w.safetensors")
    again = records(capsys, "new/w.safetensors")
    assert again[0] == first[0]
    assert again[-1]["metrics"]["test_loss"] == first[-1]["metrics"]["test_loss"]


def test_weights_of_the_version_before_are_a_trial_too(capsys: pytest.CaptureFixture[str]) -> None:
    first = records(capsys, "--lr-after-warmup", "0.5", "--warmup", "1", "--weights", "w.safetensors")
    saved = read_weights(Path("w.safetensors"))
    state = {name: torch.tensor(array) for name, array in saved.state.items()}
    save_weights(Path("old.safetensors"), state, saved.trial.replace("lr_after_warmup", "lr_factor"))
    again = records(capsys, "old.safetensors")
    assert again[0] == first[0]
    assert again[0]["trial"]["lr_after_warmup"] == 0.5
    assert again[-1]["metrics"]["test_loss"] == first[-1]["metrics"]["test_loss"]


def test_former_flags_are_not_offered(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    said = capsys.readouterr().out
    assert "--lr-after-warmup" in said
    assert "factor" not in said


def test_warm_up_is_shared_through_a_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    first = records(capsys, "--rate", "0.1", "--warmup", "1", "--trunks", "kept")  # relative to where one is
    assert [file.name for file in (tmp_path / "kept").rglob("*.trunk")] == ["1.trunk"]
    second = records(capsys, "--rate", "-0.4", "--warmup", "1", "--trunks", (tmp_path / "kept").as_uri())
    assert [epoch["metrics"].get("spared") for epoch in (*first[1:], *second[1:])] == [None, None, 1.0, None]
    alone = records(capsys, "--rate", "-0.4", "--warmup", "1")
    assert second[2]["metrics"]["test_loss"] == alone[2]["metrics"]["test_loss"]
    assert "spared" not in alone[1]["metrics"]


def test_trial_that_diverges_is_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    found = lines(capsys, "--rate", "-8", "--set", "training.optimizer.lr=1e9")
    assert found[-1].startswith("diverged: train_loss is ")
    assert found[-2].split()[2] == "-"


def test_images_are_given_to_the_small_cnn(capsys: pytest.CaptureFixture[str]) -> None:
    augment = "training.augment=crop-flip"  # which the network of features refuses
    assert "there is no CIFAR-10 here" in refusal(capsys, "--dataset", "cifar10", "--set", augment)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rate", "2"), "error: rate: 2.0 is refused: a finite smoothing rate of at most 1"),
        (("--rate", "NaN"), "error: rate: nan is refused: a finite smoothing rate of at most 1"),
        (("--epochs", "many"), "error: training.epochs: 'many' is refused: a whole number"),
        (("--set", "training.epoch=3"), "error: training.epoch: unknown key; did you mean 'epochs'?"),
        (("--lr-factor", "0.1"), "error: --lr-factor: is now --lr-after-warmup"),
        (("--set", "lr_factor=0.1"), "error: lr_factor: is now lr_after_warmup"),
        (("--set", "data=3"), "error: data: 3 is refused: a mapping of keys to values"),
        (("--dataset", "twonrm"), "error: dataset.name: 'twonrm' is unknown: one of twonorm"),
        (("--threads", "0"), "error: --threads: 0 is refused: at least 1"),
        (("--weights", "."), "error: --weights: '.' is refused: a file to write, not a folder"),
        (("--weights", "/dev/null/a"), "error: --weights: '/dev/null/a' is refused: a file that may be written"),
        (("--trunks", "nosuch://a"), "error: --trunks: 'nosuch://a' is refused: an absolute path, or a URI"),
        (("--trunks", "/dev/null/a"), "error: --trunks: '/dev/null/a' is refused: an absolute path, or a URI"),
        (("missing.json",), "error: missing.json: cannot be read"),
        (
            ("--set", "training.optimizer={name: sgd}"),
            "error: --set training.optimizer: '{name: sgd}' is refused: a mapping or list is written as JSON here",
        ),
        (("missing.safetensors",), "error: missing.safetensors: cannot be read"),
    ],
)
def test_wrong_input_is_one_clear_line(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refusal(capsys, *arguments).startswith(message)


def test_weights_that_nothing_could_write_are_refused_before_the_training(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tosmooth.trainables.__main__.find_spec", lambda name: None)
    told = refusal(capsys, *TINY, "--weights", str(tmp_path / "a.safetensors"))
    assert told.endswith("is refused: safetensors writes it, and is not installed: pip install safetensors")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"{", "a.json: cannot be read: Expecting"),
        ("a.json", b"\xff", "a.json: cannot be read: 'utf-8'"),
        ("a.json", b"[1]", "a.json: holds a list: a trial file is JSON as TrialConfig.to_dict gives it"),
        ("a.json", b"{}", "data: missing; it has no default"),
        ("a.json", b'{"lr_factor": 0.1}', "lr_factor: is now lr_after_warmup"),
        ("a.safetensors", b"torn", "a.safetensors: cannot be read: "),
        ("a.safetensors", b"\x02\0\0\0\0\0\0\0{}", "a.safetensors: cannot be read: "),  # no trial in it
    ],
)
def test_file_that_holds_no_trial_is_refused(
    name: str, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(name).write_bytes(content)
    assert refusal(capsys, name).startswith(f"error: {message}")
