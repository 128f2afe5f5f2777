"""Data sets of the Hugging Face hub: their addresses, and fetching by its own libraries from a hub on this machine."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.trainables.files.hub_server import Hub, serving
from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data.datasets import LevelData, load_level
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.files.hub import Address, address_of, bring, on_hub

KEY = "dataset.table.train"
LABEL = {"names": ["cat", "dog"], "_type": "ClassLabel"}
NAMES = {b"huggingface": json.dumps({"info": {"features": {"label": LABEL}}})}
ALL = ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]
BRING = """
import sys
from pathlib import Path
from tosmooth.trainables.files.hub import bring
print(bring(sys.argv[1], "train", "key", Path(sys.argv[2])))
"""


def table(seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    columns = {"a": rng.normal(5, 3, 60), "b": rng.integers(0, 9, 60), "label": np.arange(60) % 2}
    return pa.table(columns).replace_schema_metadata(NAMES)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with a few repositories; the home folder of the user is empty."""
    pytest.importorskip("huggingface_hub")
    root = tmp_path / "repositories"
    for seed, name in enumerate(("train", "test")):
        (root / "someone/features/data").mkdir(parents=True, exist_ok=True)
        pq.write_table(table(seed), root / f"someone/features/data/{name}-00000-of-00001.parquet")
    (root / "someone/features/README.md").write_text("Features.\n")
    for name, value in {"cat/1": 10, "cat/2": 20, "dog/1": 30, "dog/2": 40}.items():
        path = root / f"someone/photos/train/{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (value, 0, 0)).save(path)
    (root / "someone/gated").mkdir()
    (root / "someone/gated/a.csv").write_text("x,label\n1,a\n")
    (root / "someone/script").mkdir()
    (root / "someone/script/script.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    (tmp_path / "user").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    for name in ("HF_HOME", "HF_TOKEN", "HF_TOKEN_PATH", "XDG_CACHE_HOME", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with serving(root) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        yield served


def load(data: Path, cache: Path, **named: Any) -> LevelData:
    config = DataConfig(dataset="mine", noise="given", table=TableSource(**named), validation_fraction=0.25)
    return load_level(config, Folders(data, cache))


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("hf://someone/photos", ("someone/photos", None, None, None, None)),
        ("hf://datasets/someone/photos/", ("someone/photos", None, None, None, None)),
        ("hf://mnist", ("mnist", None, None, None, None)),
        ("hf://someone/photos/validation#small", ("someone/photos", None, "small", "validation", None)),
        ("hf://someone/photos@v1.0#de-at", ("someone/photos", "v1.0", "de-at", None, None)),
        ("hf://datasets/someone/photos@0a1b/d/t-*.parquet", ("someone/photos", "0a1b", None, None, "d/t-*.parquet")),
        ("hf://datasets/old@main/a.csv", ("old", "main", None, None, "a.csv")),
        (
            "hf://datasets/someone/photos@refs/convert/parquet/**/train/*.parquet",
            ("someone/photos", "refs/convert/parquet", None, None, "**/train/*.parquet"),
        ),
        ("hf://datasets/a/b@~parquet/c", ("a/b", "refs/convert/parquet", None, None, "c")),
    ],
)
def test_addresses(place: str, expected: tuple[Any, ...]) -> None:
    assert on_hub(place)
    assert address_of(place, KEY) == Address(*expected)


@pytest.mark.parametrize(
    "place",
    [
        "hf://",
        "hf://someone/photos/data/train.parquet",
        "hf://datasets/someone/photos/../other/a.csv",
        "hf://datasets/someone/photos//a.csv",
        "hf://datasets/someone/photos/a.csv#small",
        "hf://someone/photos/train[:10%]",
        "hf://someone/../photos",
        "hf://models/someone/bert",
        "https://huggingface.co/datasets/someone/photos",
    ],
)
def test_addresses_of_none(place: str) -> None:
    with pytest.raises(InputError, match=r"^dataset\.table\.test: .* is refused: write it hf://OWNER/NAME"):
        TableSource(train="a.parquet", test=place, features=("a",))


def test_a_data_set_needs_to_be_told_what_it_holds() -> None:
    with pytest.raises(InputError, match=r"dataset\.table: .* is refused: give one of the two"):
        TableSource(train="hf://someone/photos")
    assert TableSource(train="hf://datasets/someone/photos/train").of_folder
    assert not TableSource(train="hf://datasets/someone/photos/train", image="image").of_folder


def test_without_the_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')  # without what is installed
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    for place in ("hf://someone/photos", "hf://datasets/someone/photos/a.csv"):
        with pytest.raises(InputError, match=rf"^{KEY}: '{place}' is refused: install .*'tosmooth\[huggingface\]'"):
            load(tmp_path, tmp_path / "cache", train=place, features=("a",))


def test_without_a_network(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place, rule = "hf://datasets/someone/features/data", r"cannot be reached \(.+\): fetch it elsewhere"
    for name, value in {"HF_ENDPOINT": "http://127.0.0.1:1", "HF_HUB_OFFLINE": "1"}.items():
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            with pytest.raises(InputError, match=f"^{KEY}: '{place}' is refused: http://127.0.0.1:[0-9]+ {rule}"):
                bring(place, "train", KEY, tmp_path / "cache")
    assert hub.asked == []


def test_a_data_set_is_fetched_once_and_is_that_of_its_files(hub: Hub, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    place, cache = "hf://someone/features", tmp_path / "cache"
    commit = hub.commit("someone/features")
    files = {"train": "data/train-*.parquet", "test": "data/test-*.parquet"}
    here = load(hub.root / "someone/features", cache, **files, features=("a", "b"))
    there = load(tmp_path, cache, train=place, test=place, features=("a", "b"))
    assert there.digest == here.digest
    assert there.class_names == ("cat", "dog")
    assert there.remarks == (f"{place} is of the commit {commit}",)
    asked = len(hub.asked)
    pq.write_table(table(2), hub.root / "someone/features/data/train-00000-of-00001.parquet")
    other = subprocess.run([sys.executable, "-c", BRING, place, str(cache)], capture_output=True, text=True, check=True)
    assert Path(other.stdout.strip()).is_relative_to(cache)
    assert load(tmp_path, cache, train=place, features=("a",)).digest != there.digest  # without the test set
    assert load(tmp_path, cache, train=place, test=place, features=("a", "b")).digest == there.digest
    with pytest.raises(
        InputError, match=r"no split 'dev' .* it has train, test: name one, hf://someone/features/train"
    ):
        bring(f"{place}/dev", "train", KEY, cache)
    assert len(hub.asked) == asked
    assert list((tmp_path / "user").iterdir()) == []
    assert {path.name.rpartition(".")[2] for path in (cache / "hub").iterdir() if path.is_file()} == {"lock"}
    assert sorted(path.name for path in bring(place, "train", KEY, cache).parent.parent.iterdir()) == ["commit", "data"]


def test_files_are_fetched_as_far_as_they_are_named(hub: Hub, tmp_path: Path) -> None:
    cache, root = tmp_path / "cache", hub.root / "someone/features"
    here = load(root, cache, train="data/train-*.parquet", test="data/test-00000-of-00001.parquet", features=("a",))
    place = "hf://datasets/someone/features"
    names = {"train": f"{place}/data/train-*.parquet", "test": f"{place}/data/test-00000-of-00001.parquet"}
    assert load(tmp_path, cache, **names, features=("a",)).digest == here.digest
    assert sorted(path.name for path in (cache / "hub").rglob("*.parquet")) == ALL
    assert list((cache / "hub").rglob("README.md")) == []
    with pytest.raises(InputError, match=r"has no file 'dota'; it has README\.md, data/test-00000-of-00001\.parquet"):
        bring(f"{place}/dota", "train", KEY, cache)
    assert list((tmp_path / "user").iterdir()) == []


def test_a_folder_of_pictures(hub: Hub, tmp_path: Path) -> None:
    found = load(tmp_path, tmp_path / "cache", train="hf://datasets/someone/photos/train")
    assert found.class_names == ("cat", "dog")
    assert found.train.inputs[:, 0, 0, 0].tolist() == [10, 20, 30, 40]


def test_what_was_begun_at_another_commit_is_no_part_of_it(hub: Hub, tmp_path: Path) -> None:
    place, cache = "hf://datasets/someone/features/data", tmp_path / "cache"
    into = bring(place, "train", KEY, cache).parent.parent
    partial = into.rename(into.with_name(f"{into.name}.partial"))  # as if it had been stopped
    kept = partial / "data/data/train-00000-of-00001.parquet"
    kept.with_name("train-00001-of-00002.parquet").write_bytes(kept.read_bytes())
    (partial / "commit").write_text("of before")
    fetched = bring(place, "train", KEY, cache)
    assert sorted(path.name for path in fetched.iterdir()) == ALL
    assert not partial.exists()


def test_processes_that_begin_at_once_fetch_once(hub: Hub, tmp_path: Path) -> None:
    command = [sys.executable, "-c", BRING, "hf://datasets/someone/features/data", str(tmp_path / "cache")]
    processes = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait() for process in processes] == [0] * 3
    fetched = [asked.rpartition("/")[2] for asked in hub.asked if asked.startswith("GET") and "/resolve/" in asked]
    assert sorted(fetched) == ALL


@pytest.mark.parametrize(
    ("place", "rule"),
    [
        ("hf://datasets/someone/nothing/a.csv", "the hub has no such data set, or it is private"),
        ("hf://datasets/someone/gated/a.csv", "it is gated: accept its terms at https://.*/datasets/someone/gated"),
        ("hf://datasets/someone/features@v2/data", "the data set has no revision 'v2'"),
    ],
)
def test_what_the_hub_does_not_give(hub: Hub, place: str, rule: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"^{KEY}: '{place}' is refused: {rule}"):
        bring(place, "train", KEY, tmp_path / "cache")


def test_no_program_of_a_data_set_is_run(hub: Hub, tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    with pytest.raises(InputError, match="is refused: Dataset scripts are no longer supported"):
        bring("hf://someone/script", "train", KEY, tmp_path / "cache")
    assert not (tmp_path / "ran").exists()
