"""The network of a winner is a model in MLflow: once, with signature and example, and it answers for raw rows."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
from mlflow.entities import LoggedModel

from tests.search.tracking.test_server import Server
from tests.search.tracking.tools import LEVEL, SOON, client, free_port, runs, tracker, trial, wait_for
from tests.trainables.inference.tools import raw_test, short, trained
from tosmooth.search.records import Cell
from tosmooth.search.tracking import Winner, models
from tosmooth.search.tracking.models import register
from tosmooth.trainables.config import DataConfig, NetworkConfig
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.inference import load_weights

pytestmark = pytest.mark.xdist_group("server")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """Weights of a network on iris, as a home keeps them, and raw rows of its test set."""
    place = tmp_path_factory.mktemp("weights")
    config = short(DataConfig(dataset="iris", noise="symmetric-0.2"))
    trainer, data, _ = trained(config, Folders(place, place))
    trainer.save_weights(place / "net.safetensors")
    names = list(load_weights(place / "net.safetensors").features)
    return place / "net.safetensors", pd.DataFrame(raw_test(config.data, data, Folders(place, place)), columns=names)


@pytest.fixture
def winner(weights: tuple[Path, pd.DataFrame]) -> Winner:
    def write(path: Path) -> None:
        shutil.copyfile(weights[0], path)

    return Winner("tiny", Cell(LEVEL.name, "gls"), weights[0], None, {"rate": -0.8, "warmup": 1}, write)


def show(home: Path, winner: Winner, uri: str | None = None) -> int:
    """Show a trial and the winner, as one session of a driver would."""
    session = tracker(home, uri)
    session.update(trial(0))
    session.model(winner)
    return session.close(SOON)


def logged(home: Path) -> list[LoggedModel]:
    found = client(home).get_experiment_by_name("tiny")
    assert found is not None
    return list(client(home).search_logged_models([found.experiment_id]))


def place_of(home: Path, model: LoggedModel) -> Path:
    return home / "artifacts" / model.artifact_location.partition(":/")[2].lstrip("/")


def test_a_winner_is_logged_once_with_signature_and_example(
    home: Path, winner: Winner, weights: tuple[Path, pd.DataFrame]
) -> None:
    assert show(home, winner) == 0
    (model,) = logged(home)
    assert (model.status.value, model.name) == ("READY", "tiny-symmetric-0_4-gls")
    assert model.params == {"rate": "-0.8", "warmup": "1"}
    assert model.source_run_id == runs(client(home), "cell")[0].info.run_id
    assert model.tags["tosmooth.level"] == LEVEL.name
    assert show(home, winner) == 0
    assert [each.model_id for each in logged(home)] == [model.model_id]

    loaded = mlflow.pyfunc.load_model(str(place_of(home, model)))
    _, rows = weights
    assert loaded.metadata.signature.inputs.input_names() == list(rows.columns)
    assert loaded.metadata.metadata["classes"] == ["0", "1", "2"]
    found = loaded.predict(rows[list(reversed(rows.columns))])
    np.testing.assert_array_equal(found.to_numpy(), load_weights(weights[0]).probabilities(rows))
    whole = rows.round().astype(int)  # MLflow would refuse these for floats
    np.testing.assert_array_equal(loaded.predict(whole), load_weights(weights[0]).probabilities(whole))
    assert loaded.predict(loaded.input_example).shape == (1, 3)
    assert loaded.metadata.model_id == model.model_id
    files = [path.name for path in place_of(home, model).rglob("*") if path.is_file()]
    assert not [name for name in files if name.endswith((".pkl", ".pickle", ".pt", ".pth"))]


def test_an_upload_that_was_cut_off_is_completed(home: Path, winner: Winner, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        context.setattr(models, "_upload", _raise)
        session = tracker(home)
        session.update(trial(0))
        session.model(winner)
        assert session.close(3.0) > 0
    (model,) = logged(home)
    assert model.status.value == "PENDING"
    assert show(home, winner) == 0
    (again,) = logged(home)
    assert (again.model_id, again.status.value) == (model.model_id, "READY")
    assert mlflow.pyfunc.load_model(str(place_of(home, again))).predict(pd.DataFrame(_example(again))).shape == (1, 3)


def _raise(*_: object) -> None:
    raise OSError("no room")


def _example(model: LoggedModel) -> dict[str, list[float]]:
    del model
    names = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
    return {name: [1.0] for name in names}


def test_a_model_that_cannot_be_made_costs_a_word_and_nothing_else(
    home: Path, winner: Winner, caplog: pytest.LogCaptureFixture
) -> None:
    def write(path: Path) -> None:
        raise InputError("network.weights: gone.pth: there is no such file")

    assert show(home, replace(winner, write=write)) == 0
    assert logged(home) == []
    assert f"MLflow has no model of {winner.cell.key}: network.weights: gone.pth" in caplog.text


def test_other_weights_of_the_cell_are_another_model(home: Path, winner: Winner, tmp_path: Path) -> None:
    show(home, winner)
    other = tmp_path / "other.safetensors"
    shutil.copyfile(winner.weights, other)
    with other.open("ab") as file:
        file.write(b" ")
    assert show(home, replace(winner, weights=other)) == 0
    assert len(logged(home)) == 2


def test_it_is_registered_once_under_a_name(home: Path, winner: Winner) -> None:
    with pytest.raises(InputError, match="--register: MLflow has nothing of the study 'tiny'"):
        register(home, None, winner, "flowers")
    show(home, winner)
    assert [register(home, None, winner, "flowers") for _ in range(2)] == ["1", "1"]
    assert register(home, None, winner, "it's mine") == "1"
    (version,) = client(home).search_model_versions("name = 'flowers'")
    assert version.run_id == runs(client(home), "cell")[0].info.run_id
    assert len(logged(home)) == 1
    with pytest.raises(InputError, match="--register: '' is refused"):
        register(home, None, winner, "")


def test_pictures_are_an_array_of_bytes(home: Path, tmp_path: Path) -> None:
    folders = Folders(tmp_path / "data", tmp_path / "cache")
    folders.data.mkdir()
    pictures = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    np.savez(folders.data / "train.npz", x=pictures, label=np.arange(40) % 2)
    from tosmooth.trainables.config import TableSource

    source = TableSource(train="train.npz", test="train.npz", image="x", label="label")
    config = short(DataConfig(dataset="mine", noise="given", table=source), NetworkConfig(name="cnn"), epochs=1)
    trainer, _, _ = trained(config, folders)
    path = tmp_path / "net.safetensors"
    trainer.save_weights(path)

    def write(copy: Path) -> None:
        shutil.copyfile(path, copy)

    assert show(home, Winner("tiny", Cell(LEVEL.name, "gls"), path, None, {}, write)) == 0
    loaded = mlflow.pyfunc.load_model(str(place_of(home, logged(home)[0])))
    found = loaded.predict(pictures[:3])
    np.testing.assert_array_equal(found.to_numpy(), load_weights(path).probabilities(pictures[:3]))
    assert list(found.columns) == ["0", "1"]


Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start `mlflow models serve` for a model of a tracking server; returns where it answers."""
    started: list[subprocess.Popen[bytes]] = []

    def start(uri: str, model: str) -> str:
        port = free_port()
        command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # it starts `uvicorn`
        environment = os.environ | {"MLFLOW_TRACKING_URI": uri, "PATH": path}
        process = subprocess.Popen([*command, "-h", "127.0.0.1", "-p", str(port)], env=environment, process_group=0)
        started.append(process)

        def answers() -> bool:
            assert process.poll() is None, "it did not start"
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=1):
                    return True
            except OSError:
                return False

        wait_for(answers, 120)
        return f"http://127.0.0.1:{port}/invocations"

    yield start
    for process in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_it_is_served_by_mlflow(home: Path, winner: Winner, weights: tuple[Path, pd.DataFrame], serve: Serve) -> None:
    show(home, winner)
    version = register(home, None, winner, "flowers")
    server = Server(home)
    try:
        address = serve(server.url, f"models:/flowers/{version}")
        rows = weights[1].head(5)
        body = json.dumps({"dataframe_split": rows.to_dict(orient="split", index=False)}).encode()
        request = urllib.request.Request(address, body, {"Content-Type": "application/json"})  # noqa: S310
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            found = pd.DataFrame(json.load(answer)["predictions"])
        expected = load_weights(weights[0]).probabilities(rows)
        np.testing.assert_allclose(found[["0", "1", "2"]].to_numpy(), expected, atol=1e-9)
    finally:
        server.close()
