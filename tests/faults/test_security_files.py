"""What is in files: a pickle in any of them is never executed, and no name in them leads out of the home."""

import base64
import dataclasses
import hashlib
import http.server
import io
import json
import pickle
import tarfile
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState
from pyarrow import fs

from tests.search.tools import TINY, Driver, play, tiny
from tests.tools import Payload
from tests.trainables.conftest import picture
from tosmooth.search.spec.loading import read_study
from tosmooth.search.spec.sections import WORD
from tosmooth.search.spec.study import check_name
from tosmooth.search.storage.history import History
from tosmooth.search.storage.home import Home
from tosmooth.search.storage.opening import open_storage
from tosmooth.search.storage.reading import read_records
from tosmooth.trainables.__main__ import main
from tosmooth.trainables.checkpointing.states import HEAD, digest, read_state
from tosmooth.trainables.config import DataConfig, TableSource
from tosmooth.trainables.data.cifar import read
from tosmooth.trainables.data.datasets import load_level
from tosmooth.trainables.data.fetch import FETCHABLE, fetch
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.folders import Folders
from tosmooth.trainables.noise.human_labels import human_labels

if TYPE_CHECKING:
    from tests.trainables.conftest import SmallCifar

CLEAN = np.arange(1000) % 10


@pytest.fixture
def payload(tmp_path: Path) -> Payload:
    """One that works."""
    found = Payload(tmp_path / "executed")
    pickle.loads(pickle.dumps(found))
    assert found.mark.exists()
    found.mark.unlink()
    return found


def torch_file(payload: Payload, content: object) -> bytes:
    """What `torch.save` writes, which executes the payload in it where it is read without care."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    torch.load(io.BytesIO(buffer.getvalue()), weights_only=False)
    payload.mark.unlink()
    return buffer.getvalue()


def test_label_file(payload: Payload, tmp_path: Path) -> None:
    file = tmp_path / "labels.pt"
    for content in (payload, {"clean_label": CLEAN, "worse_label": payload}, {payload: CLEAN}):
        file.write_bytes(torch_file(payload, content))
        with pytest.raises(InputError, match=r"labels\.pt: damaged or unsafe"):
            human_labels(file, "worse_label", CLEAN)
    file.write_bytes(pickle.dumps({"clean_label": CLEAN, "worse_label": payload}))
    with pytest.raises(InputError, match=r"labels\.pt: damaged or unsafe"):
        human_labels(file, "worse_label", CLEAN)
    assert not payload.mark.exists()


@pytest.mark.parametrize("name", ["3.trunk", "a.checkpoint"])
def test_trunk_and_checkpoint_with_a_digest_that_fits(name: str, payload: Payload, tmp_path: Path) -> None:
    body = torch_file(payload, {"epoch": 3, "network": payload})
    (tmp_path / name).write_bytes(HEAD + digest(memoryview(body)) + body)
    assert read_state(fs.LocalFileSystem(), str(tmp_path / name), 3) is None
    assert not payload.mark.exists()


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_pickles_of_cifar(name: str, payload: Payload, small_cifar: "SmallCifar", folders: Folders) -> None:
    (small_cifar.unpack(folders.data) / name).write_bytes(pickle.dumps(payload))
    with pytest.raises(InputError, match=rf"{name}: not as published"):
        read(small_cifar.about, DataConfig(dataset="cifar10"), folders)
    assert not payload.mark.exists()


def test_type_of_a_parquet_column_that_is_a_pickle(payload: Payload, tmp_path: Path) -> None:
    """Arrow once kept types of Python's in a file as pickles, and loaded them when it was opened."""
    kind = {b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickle.dumps(payload)}
    schema = pa.schema([pa.field("x", pa.float64(), metadata=kind), pa.field("label", pa.int64())])
    table = pa.table({"x": np.arange(40.0), "label": np.arange(40) % 2}, schema=schema)
    pq.write_table(table, tmp_path / "train.parquet")
    source = TableSource(train="train.parquet", features=("x",))
    config = DataConfig(dataset="mine", noise="given", table=source)
    assert len(load_level(config, Folders(tmp_path, tmp_path / "cache")).train) == 36
    assert not payload.mark.exists()


def test_pickles_as_values_of_a_parquet_column(payload: Payload, tmp_path: Path) -> None:
    blobs = [pickle.dumps(payload)] * 40
    pq.write_table(pa.table({"x": blobs, "label": np.arange(40) % 2}), tmp_path / "train.parquet")
    for source in (
        TableSource(train="train.parquet", features=("x",)),
        TableSource(train="train.parquet", image="x"),
        TableSource(train="train.parquet", features=("label",), label="x"),
    ):
        with pytest.raises(InputError, match=r"train\.parquet"):
            load_level(DataConfig(dataset="mine", noise="given", table=source), Folders(tmp_path, tmp_path / "cache"))
    assert not payload.mark.exists()


def test_attributes_in_the_journal(payload: Payload, tmp_path: Path) -> None:
    driver = Driver(tmp_path / "driver", tiny())
    play(driver)
    code = base64.b64encode(pickle.dumps(payload)).decode()
    evil = {"py/reduce": code, "__reduce__": code, "pickle": code}
    storage = driver.store.storage
    (study, *_) = storage.get_all_studies()
    storage.set_study_user_attr(study._study_id, "evil", evil)
    storage.set_study_system_attr(study._study_id, "evil", evil)
    trial = storage.create_new_trial(study._study_id)
    storage.set_trial_user_attr(trial, "evil", evil)
    storage.set_trial_system_attr(trial, "evil", evil)
    storage.set_trial_state_values(trial, TrialState.WAITING)
    (tmp_path / "driver" / "journal.log.snapshot").write_bytes(pickle.dumps(payload))  # which Optuna has for Redis
    again = open_storage(None, tmp_path / "driver" / "journal.log")
    assert again.get_all_studies()[0].user_attrs["evil"] == evil  # it was read
    read = again.get_trial(trial)
    assert (read.user_attrs["evil"], read.system_attrs["evil"]) == (evil, evil)
    assert not payload.mark.exists()


def test_journal_that_is_a_pickle(payload: Payload, tmp_path: Path) -> None:
    (tmp_path / "journal.log").write_bytes(pickle.dumps(payload) + b"\n")
    with pytest.raises(InputError, match=r"journal\.log, line 1: damaged \(its checksum does not fit\)"):
        open_storage(None, tmp_path / "journal.log").get_all_studies()
    assert not payload.mark.exists()


@pytest.mark.parametrize("name", ["study.yaml", "levels.json", "prior.json", "history.jsonl"])
def test_files_of_a_study(name: str, payload: Payload, tmp_path: Path) -> None:
    folder = Home(tmp_path).study("tiny")
    folder.path.mkdir(parents=True)
    folder.spec_file.write_text(TINY, encoding="utf-8")
    (folder.path / name).write_bytes(pickle.dumps(payload))
    reads: dict[str, Callable[[], object]] = {
        "study.yaml": folder.spec,
        "levels.json": folder.levels,
        "prior.json": lambda: folder.prior("other"),
        "history.jsonl": History(folder.history).read,
    }
    with pytest.raises((InputError, ValueError)):  # ValueError: no UTF-8, no JSON
        reads[name]()
    assert not payload.mark.exists()


@pytest.mark.parametrize(
    "tag", ["!!python/object/apply:pathlib.Path.touch [{}]", "!!python/object/new:os.system ['touch {}']"]
)
def test_study_file_that_asks_for_a_call(tag: str, tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    with pytest.raises(InputError, match="study, line"):
        read_study(f"{TINY}\nquestion: {tag.format(mark)}\n")
    assert not mark.exists()


def test_weights_to_train_again(payload: Payload, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, content in (("a.safetensors", pickle.dumps(payload)), ("b.safetensors", torch_file(payload, payload))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SystemExit, match="2"):
            main([str(tmp_path / name)])
        assert f"{name}: cannot be read" in capsys.readouterr().err
    assert not payload.mark.exists()


def test_book_of_digests_and_decoded_pictures(payload: Payload, small_cifar: "SmallCifar", folders: Folders) -> None:
    """What lies in the cache, a book of digests and pictures: what is damaged is made anew."""
    small_cifar.unpack(folders.data)
    folders.cache.mkdir()
    (folders.cache / "digests.json").write_bytes(pickle.dumps(payload))
    config = DataConfig(dataset="cifar10")
    assert len(read(small_cifar.about, config, folders).train.given) == 50
    for file in folders.cache.glob("*.arrow"):
        file.write_bytes(pickle.dumps(payload))
    assert len(read(small_cifar.about, config, folders).train.given) == 50
    assert not payload.mark.exists()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


def member(name: str, link: str | None = None) -> tuple[tarfile.TarInfo, bytes]:
    found = tarfile.TarInfo(name)
    if link is not None:
        found.type, found.linkname = tarfile.SYMTYPE, link
        return found, b""
    found.size = 4
    return found, b"evil"


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("kind", ["up", "absolute", "link"])
def test_archive_that_leads_out_writes_nothing_there(
    kind: str,
    published: bool,
    small_cifar: "SmallCifar",
    folders: Folders,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not even where it has the digest that was published."""
    outside = tmp_path / "outside"
    outside.mkdir()
    members = {
        "up": [member("../../outside/evil")],
        "absolute": [member(str(outside / "evil"))],
        "link": [member("way", str(outside)), member("way/evil")],
    }[kind]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    served = tmp_path / "served"
    served.mkdir()
    (served / "cifar.tar.gz").write_bytes(packed.getvalue())
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=served))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    reader = small_cifar.about.reader()
    monkeypatch.setattr(reader, "url", f"http://127.0.0.1:{server.server_port}/cifar.tar.gz", raising=False)
    if published:
        monkeypatch.setattr(reader, "tgz_md5", hashlib.md5(packed.getvalue(), usedforsecurity=False).hexdigest())
    monkeypatch.setitem(FETCHABLE, "cifar10", (small_cifar.about, None))
    try:
        with pytest.raises((tarfile.FilterError, RuntimeError) if published else InputError):
            fetch("cifar10", folders)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert list(outside.iterdir()) == []
    assert list(folders.data.iterdir()) == []


@pytest.mark.parametrize(
    ("place", "rule"),
    [
        ("../../evil.png", "'../../evil.png' is refused: it leads out of .*follow_links: true follows it"),
        ("/etc/passwd", "'/etc/passwd' is refused: it leads out of .*follow_links: true follows it"),
        ("a\0b", ".*cannot be read"),
        ("", "there is no picture: its bytes are in the file itself"),
    ],
)
def test_path_beside_a_picture_is_neither_read_nor_written(
    place: str, rule: str, small_cifar: "SmallCifar", tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    source = TableSource(train="train.parquet", image="img")
    config = DataConfig(dataset="mine", noise="given", table=source)
    folders = Folders(tmp_path / "data", tmp_path / "cache")
    rows = [picture(pixels) | {"path": place} for pixels in small_cifar.train]
    labels = small_cifar.train_labels
    pq.write_table(pa.table({"img": rows, "label": labels}), tmp_path / "data" / "train.parquet")
    assert len(load_level(config, folders).train) == 45
    alone = [{"bytes": None, "path": place}] * 50
    pq.write_table(pa.table({"img": [*rows, *alone], "label": [*labels, *labels]}), tmp_path / "data" / "train.parquet")
    with pytest.raises(InputError, match=rf"row 50: ({rule})"):
        load_level(config, folders)
    assert {path.name for path in tmp_path.iterdir()} == {"data", "cache"}
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"train.parquet"}


NAMES = [
    *("", ".", "..", "../x", "a/../../x", "/etc/x", "a/b", "a\\b", "C:x", "a\0b", "a\nb", "x" * 65, "x" * 5000),
    *("-rf", "~", "$HOME", "%2e%2e", "\uff0e\uff0e/x", "a\u2215b", "a\u202eb", "\uff53tudy", "\u0131", "a\u0301", "A"),
]


@pytest.mark.parametrize("name", NAMES)
def test_name_that_is_no_plain_word_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name: "):
        Home(tmp_path).study(name)
    with pytest.raises(InputError):
        Home(tmp_path).existing(name)
    for change in ({"name": name}, {"search": {"prior_study": name}}):
        with pytest.raises(InputError):
            read_study(json.dumps({"name": "x", "dataset": {"name": "twonorm", "noise": ["clean"]}} | change))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", [name for name in NAMES if name != "A"])
def test_name_of_a_dataset_or_level_is_a_plain_word_too(name: str) -> None:
    """They are parts of the names of plots, weights and exported studies."""
    for dataset in ({"name": name, "noise": ["clean"]}, {"name": "twonorm", "noise": [name]}):
        with pytest.raises(InputError, match=r"dataset\."):
            read_study(json.dumps({"name": "x", "dataset": dataset}))


@given(st.text() | st.from_regex(r"[a-z0-9._/\\-]{1,80}"))
def test_whatever_is_taken_for_a_name_stays_in_its_folder(name: str) -> None:
    for taken in (lambda: check_name(name), lambda: WORD.fullmatch(name)):
        try:
            accepted = bool(taken())
        except InputError:
            continue
        if accepted:
            place = Path("/home/studies") / name
            assert place.resolve().parent == Path("/home/studies")
            assert len(name.encode()) <= 64
            assert name.isascii()


def test_names_in_a_study_of_the_home_are_checked_when_it_is_read(tmp_path: Path) -> None:
    """Who may write to a home that is shared cannot have files put elsewhere."""
    folder = Home(tmp_path).study("tiny")
    folder.path.mkdir(parents=True)
    folder.spec_file.write_text(TINY.replace("name: tiny", "name: ../../evil"), encoding="utf-8")
    with pytest.raises(InputError, match=r"name: '\.\./\.\./evil' is refused"):
        folder.spec()
    level = dataclasses.replace(tiny().dataset, noise=("clean",))
    assert level.noise == ("clean",)
    with pytest.raises(InputError, match=r"dataset\.noise\[0\]"):
        dataclasses.replace(tiny().dataset, noise=("../../evil",))
    with pytest.raises(InputError):
        read_records(folder, folder.spec(), None)
