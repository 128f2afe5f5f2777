"""Networks of the winners as models in MLflow: logged once, with signature and example, and registered by name.

A model holds its weights as safetensors, and is loaded by import of `trainables.inference.served`: no pickle. The
user's code, where the network's factory is in some, lies beside the weights as the study keeps it.
"""

import json
import logging
import shutil
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from mlflow import MlflowClient, pyfunc
from mlflow.entities import LoggedModel, LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array

from tosmooth.search.tracking.client import IDENTITY
from tosmooth.search.tracking.store import ARTIFACTS, connect, find_experiment, is_database
from tosmooth.search.tracking.winner import Winner
from tosmooth.trainables.checkpointing.weights import read_weights
from tosmooth.trainables.data.column_numbers import Column
from tosmooth.trainables.data.preprocessing import Preprocessing
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.digests import file_digest

log = logging.getLogger(__name__)

LOADER, WEIGHTS = "tosmooth.trainables.inference.served", "network.safetensors"
DIGEST = "tosmooth.weights"  # tag: SHA-256 of the weights in the home, by which a model is known


def log_winner(client: MlflowClient, experiment_id: str, run_id: str, artifacts: Path | None, winner: Winner) -> str:
    """Log a winner's network below the run of its cell, unless it is there; returns the model's id.

    `artifacts`: folder that a server of the home will take artifacts from, where none takes them. One whose upload was
    cut off is completed. Raises `InputError` where the weights lack something that cannot be had.
    """
    digest = file_digest(winner.weights)
    found = [model for model in known_models(client, experiment_id, winner) if model.tags.get(DIGEST) == digest]
    if whole := [model for model in found if model.status == LoggedModelStatus.READY]:
        return whole[0].model_id
    with tempfile.TemporaryDirectory(prefix="tosmooth-model-") as place:
        data = Path(place) / "data"
        data.mkdir()
        winner.write(data / WEIGHTS)  # before anything of it is in MLflow
        if winner.code is not None:
            shutil.copyfile(winner.code, (data / WEIGHTS).with_suffix(".zip"))
        model = found[0] if found else _created(client, experiment_id, run_id, winner, digest)
        folder = Path(place) / "model"
        _write_model(folder, data, model, run_id, winner)
        _upload(client, model, folder, artifacts)
    client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
    return model.model_id


def known_models(client: MlflowClient, experiment_id: str, winner: Winner) -> list[LoggedModel]:
    """Find the models of a cell, ready or not."""
    return list(client.search_logged_models([experiment_id], f"tags.`{IDENTITY}` = '{winner.identity}'"))


def register(home: Path, uri: str | None, winner: Winner, name: str) -> str:
    """Register a winner's model under a name, and return its version: the one there is, where it is registered.

    Raises `InputError` where MLflow has no run of the cell, or refuses the name.
    """
    client = connect(home, uri)
    experiment, _ = find_experiment(client, home, uri, winner.study)
    if experiment is None:
        raise InputError(f"--register: MLflow has nothing of the study {winner.study!r}: `tosmooth run` shows it there")
    runs = client.search_runs([experiment.experiment_id], f"tags.`{IDENTITY}` = '{winner.identity}'", max_results=1)
    if not runs:
        raise InputError(f"--register: MLflow has no run of {winner.cell.key}: `tosmooth run` shows it there")
    run_id = runs[0].info.run_id
    folder = artifacts_of(home, uri, runs[0].info.artifact_uri)
    model_id = log_winner(client, experiment.experiment_id, run_id, folder, winner)
    try:
        return _version(client, name, model_id, run_id)
    except MlflowException as error:
        raise InputError(f"--register: {name!r} is refused: {error.message}") from error


def artifacts_of(home: Path, uri: str | None, place: str) -> Path | None:
    """Folder of artifacts in the home that stands for a server's; `None` where something takes artifacts itself."""
    return home / "artifacts" if is_database(uri) and urlsplit(place).scheme == ARTIFACTS else None


def _version(client: MlflowClient, name: str, model_id: str, run_id: str) -> str:
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    quoted = name.replace("'", "''")
    # Not as "models:/ID": MLflow would look for that where it is by default.
    place = client.get_logged_model(model_id).artifact_location
    for version in client.search_model_versions(f"name = '{quoted}'"):
        if version.source == place:
            return str(version.version)
    made = client.create_model_version(name, place, run_id, model_id=model_id)
    return str(made.version)


def _created(client: MlflowClient, experiment_id: str, run_id: str, winner: Winner, digest: str) -> LoggedModel:
    own = {"study": winner.study, "level": winner.cell.level, "method": winner.cell.method}
    tags = {IDENTITY: winner.identity, DIGEST: digest, **{f"tosmooth.{key}": value for key, value in own.items()}}
    params = {key: str(value) for key, value in winner.params.items()}
    return client.create_logged_model(experiment_id, winner.name, run_id, tags, params, "pyfunc")


def _write_model(folder: Path, data: Path, model: LoggedModel, run_id: str, winner: Winner) -> None:
    """Write the model's files as MLflow's `pyfunc` flavour has them."""
    saved = read_weights(data / WEIGHTS)
    made = Preprocessing.from_json(saved.inputs)
    versions = json.loads(saved.versions or "{}")
    about = {"study": winner.study, "level": winner.cell.level, "method": winner.cell.method}
    pyfunc.save_model(
        folder,
        loader_module=LOADER,
        data_path=str(data),
        mlflow_model=Model(artifact_path=model.artifact_location, run_id=run_id, model_id=model.model_id),
        signature=ModelSignature(_inputs(made), Schema([ColSpec("double", name) for name in made.classes])),
        input_example=_example(made),
        pip_requirements=[f"{name}=={version}" for name, version in versions.items()],
        metadata={**about, "classes": list(made.classes), "preprocessing": json.loads(saved.inputs)},
    )


def _upload(client: MlflowClient, model: LoggedModel, folder: Path, artifacts: Path | None) -> None:
    if artifacts is None:  # one after another: a server that fails now and then takes few that come together
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            inside = file.parent.relative_to(folder).as_posix()
            client.log_model_artifact(model.model_id, str(file), None if inside == "." else inside)
        return
    place = artifacts / urlsplit(model.artifact_location).path.lstrip("/")
    shutil.rmtree(place, ignore_errors=True)  # what was cut off
    shutil.copytree(folder, place)


def _inputs(made: Preprocessing) -> Schema:
    """Signature of raw examples: pictures as an array, rows by the names of their columns."""
    if made.of_pictures:
        size = made.shape[:2] if made.rule.size is None else (-1, -1)  # others are resized as the study does it
        return Schema([TensorSpec(np.dtype(np.uint8), (-1, *size, 3))])
    return Schema([ColSpec(_kind(column), column.name) for column in made.columns])


def _kind(column: Column) -> Any:
    if column.shape:
        kind: Any = DataType.double
        for _ in column.shape:
            kind = Array(kind)
        return kind
    if column.kind.startswith("dates"):
        return "datetime"
    # MLflow would refuse whole numbers for floats: numbers are checked where they are read.
    return "string" if column.kind == "categories" else AnyType()


def _example(made: Preprocessing) -> Any:
    """An example that is none of the data: the mean of each feature, or a picture of one colour."""
    if made.of_pictures:
        colour = [round(255 * mean) for mean in made.mean]
        return np.broadcast_to(np.array(colour, np.uint8), (1, *made.shape)).copy()
    means, row, start = made.mean or (0.0,) * made.shape[0], {}, 0
    for column in made.columns:
        width = len(column.features)
        values = [
            float(origin) + mean for origin, mean in zip(column.origins, means[start : start + width], strict=True)
        ]
        start += width
        row[column.name] = _cell(column, values)
    return pd.DataFrame([row])


def _cell(column: Column, values: list[float]) -> Any:
    if column.kind == "categories":
        return column.categories[0]
    if column.shape:
        return np.reshape(values, column.shape).tolist()
    if column.kind.startswith("dates"):
        return pd.Timestamp(values[0], unit="s")
    return values[0]
