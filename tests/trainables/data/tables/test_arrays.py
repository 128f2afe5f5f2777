"""NumPy's files: arrays as Keras, MedMNIST and people themselves save them."""

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.tools import Payload
from tosmooth.trainables.data.tables.files import files_of
from tosmooth.trainables.data.tables.table import open_table
from tosmooth.trainables.errors import InputError

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, (6, 4, 5, 3), np.uint8)
VECTORS = RNG.normal(size=(6, 3))


def tensors(column: pa.ChunkedArray) -> Any:
    return np.concatenate([chunk.to_numpy_ndarray() for chunk in column.chunks])


def test_npz_as_keras_and_medmnist_have_it(tmp_path: Path) -> None:
    keras: dict[str, Any] = {
        "x_train": PICTURES,
        "y_train": np.arange(6, dtype=np.uint8),
        "x_test": PICTURES[:2],
        "y_test": [1, 0],
    }
    np.savez(tmp_path / "mnist.npz", **keras)
    labels = np.arange(6)[:, None]
    np.savez_compressed(tmp_path / "path.npz", train_images=PICTURES, train_labels=labels, test_images=PICTURES[:1])
    for name, x, y in (("mnist.npz", "x", "y"), ("path.npz", "images", "labels")):
        with open_table(files_of(name, tmp_path, "key"), "train") as table:
            chosen = table.require([x, y], "key")
            assert (chosen.rows, chosen.names) == (6, (x, y))
            np.testing.assert_array_equal(tensors(chosen.read([x])[x]), PICTURES)
            assert chosen.read([y])[y].to_pylist() == list(range(6))
            assert chosen.place(4) == f"{tmp_path / name}, row 4"
            assert [len(batch) for batch in chosen.batches([x, y], 4)] == [4, 2]
    with open_table([tmp_path / "mnist.npz"], "test") as table:
        assert table.require(["x", "y"], "key").read(["y"]).to_pydict() == {"y": [1, 0]}
        with pytest.raises(InputError, match=r"mnist\.npz: its arrays have different numbers of rows: x_train 6, y 2"):
            table.require(["x_train", "y"], "key")
    with open_table([tmp_path / "path.npz"], "test") as table, pytest.raises(InputError, match="no column 'labels'"):
        table.require(["images", "labels"], "key")


def test_an_exact_name_goes_before(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros(3), x_train=np.ones(3))
    with open_table([tmp_path / "a.npz"], "train") as table:
        assert table.read(["x"]).to_pydict() == {"x": [0, 0, 0]}


@pytest.mark.parametrize("kind", ["<f8", ">f8", "<f4", "<f2", ">i2", "<u8", "i1", "?"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_vectors_keep_their_type(kind: str, order: str, tmp_path: Path) -> None:
    array = np.asarray(RNG.integers(0, 2, (6, 3)), np.dtype(kind), order="F" if order == "F" else "C")
    np.save(tmp_path / "x.npy", array)
    with open_table(files_of({"x": "x.npy"}, tmp_path, "key")) as table:
        assert table.schema.field("x").type == pa.list_(pa.from_numpy_dtype(array.dtype.newbyteorder("=")), 3)
        assert table.read(["x"])["x"].to_pylist() == array.tolist()


def test_one_array_alone_has_the_columns_of_a_matrix(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", VECTORS)
    fields = np.array([(1.5, b"cat"), (2.5, b"dog")], [("size", "<f4"), ("label", "S3")])
    np.save(tmp_path / "fields.npy", fields)
    np.save(tmp_path / "y.npy", np.array(["a", "b"]))
    expected = {"x": dict(zip("012", VECTORS.T.tolist(), strict=True)), "y": {"0": ["a", "b"]}}
    expected["fields"] = {"size": [1.5, 2.5], "label": ["cat", "dog"]}
    for name, columns in expected.items():
        with open_table([tmp_path / f"{name}.npy"]) as table:
            assert table.read(table.names).to_pydict() == columns


def test_an_array_for_each_column(tmp_path: Path) -> None:
    np.save(tmp_path / "X_train.npy", PICTURES)
    np.save(tmp_path / "y_train.npy", np.arange(6))
    np.save(tmp_path / "short.npy", np.arange(5))
    with open_table(files_of({"x": "X_train.npy", "y": "y_train.npy"}, tmp_path, "key")) as table:
        assert (table.rows, table.names) == (6, ("x", "y"))
        np.testing.assert_array_equal(tensors(table.read(["x"])["x"]), PICTURES)
        assert len(table.digests(tmp_path / "cache")) == 2
    with (
        open_table(files_of({"x": "X_train.npy", "y": "short.npy"}, tmp_path, "key")) as table,
        pytest.raises(InputError, match="different numbers of rows: x 6, y 5"),
    ):
        table.require(["x", "y"], "key")
    with pytest.raises(InputError, match=r"key\.y: 'y_trian\.npy': there is no such file.*nearest there: y_train\.npy"):
        files_of({"x": "X_train.npy", "y": "y_trian.npy"}, tmp_path, "key")


def header(shape: str, kind: str = "<f8") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def zipped(content: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("x.npy", content)
    return file.getvalue()


CLAIMS = [header("(1099511627776,)"), header("(-1,)"), header("(4, 1099511627776)") + bytes(64), header("(2,)", "|O")]


@pytest.mark.parametrize(
    "content", [*CLAIMS, header("()") + bytes(8), header("(2,)", "<c16") + bytes(32), b"\x93NUMPY"]
)
def test_arrays_that_claim_what_is_not_there_are_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.npy").write_bytes(content)
    (tmp_path / "x.npz").write_bytes(zipped(content))
    for name, column in (("x.npy", "0"), ("x.npz", "x")):
        with pytest.raises(InputError, match=rf"x\.{name[2:]}"), open_table([tmp_path / name]) as table:
            table.require([column], "key")


def test_an_archive_that_stands_for_gigabytes_is_refused(tmp_path: Path) -> None:
    content = header("(1000,)") + bytes(8000)
    packed, size = zipped(content, zipfile.ZIP_DEFLATED), len(content).to_bytes(4, "little")
    assert packed.count(size) == 2
    (tmp_path / "x.npz").write_bytes(packed.replace(size, (2**31).to_bytes(4, "little")))
    with pytest.raises(InputError, match=r"x\.npz: unpacked: 2147.* bytes in memory"), open_table([tmp_path / "x.npz"]):
        pass


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    array = np.array([Payload(mark)], object)
    np.savez(tmp_path / "a.npz", x=array, y=np.arange(1))
    np.save(tmp_path / "x.npy", array)
    with open_table([tmp_path / "a.npz"]) as table:
        assert table.read(["y"]).to_pydict() == {"y": [0]}
        with pytest.raises(InputError, match=r"array 'x'.* holds pickles, which can run any program"):
            table.require(["x"], "key")
    with pytest.raises(InputError, match=r"x\.npy: holds pickles"), open_table([tmp_path / "x.npy"]):
        pass
    assert not mark.exists()
