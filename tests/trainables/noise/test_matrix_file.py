"""Transition matrices from files: what is read, and what is refused by file, row and rule."""

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tosmooth.trainables.errors import InputError
from tosmooth.trainables.noise.matrix_file import read_matrix

GOOD = "0.7, 0.2, 0.1\n0,1,0\n.25,.25,.5\n"


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "mine.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize("content", [GOOD, GOOD.strip(), GOOD.replace("\n", "\r\n"), "\ufeff" + GOOD, f"\n{GOOD}\n\n"])
def test_a_line_is_a_clean_class(tmp_path: Path, content: str) -> None:
    matrix = read_matrix(written(tmp_path, content), 3)
    assert matrix.dtype == np.float64
    assert matrix.tolist() == [[0.7, 0.2, 0.1], [0, 1, 0], [0.25, 0.25, 0.5]]


def test_what_numpy_writes_comes_back_as_it_was(tmp_path: Path) -> None:
    matrix = np.random.default_rng(0).dirichlet(np.ones(100), 100)
    np.savetxt(tmp_path / "a.csv", matrix, delimiter=",", fmt="%.18e")
    assert (read_matrix(tmp_path / "a.csv", 100) == matrix).all()


@pytest.mark.parametrize("off", [-9e-7, 9e-7])
def test_rows_that_sum_to_1_within_a_millionth_are_taken(tmp_path: Path, off: float) -> None:
    assert read_matrix(written(tmp_path, f"{0.5 + off!r},0.5\n0,1"), 2)[0, 0] == 0.5 + off


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r": 0 rows: the data has 3 classes, each with a row and a column"),
        ("1,0\n0,1\n", r": 2 rows: the data has 3 classes"),
        ("1,0,0\n0,1,0\n", r": 2 rows: the data has 3 classes"),
        (GOOD + "1,0,0\n", r": 4 rows: the data has 3 classes"),
        ("1,0\n0,1\n0,1\n", r", row 0: 2 columns: the data has 3 classes"),
        (GOOD.replace("0,1,0", "0,1,0,0"), r", row 1: 4 columns"),
        (GOOD.replace("0,1,0", ""), r", row 1: 1 columns"),
        (GOOD.replace(",", ";"), r", row 0: 1 columns"),
        (GOOD.replace("0.2", "-0.2"), r", row 0, column 1: '-0\.2' is refused: a probability from 0 to 1"),
        (GOOD.replace("0.2", "nan"), r", row 0, column 1: 'nan' is refused: a probability"),
        (GOOD.replace("0.2", "inf"), r", row 0, column 1: 'inf' is refused: a probability"),
        (GOOD.replace("0.2", ""), r", row 0, column 1: '' is refused: a probability"),
        (GOOD.replace("1", "cat"), r", row 0, column 2: '0\.cat' is refused: a probability"),
        ("a,b,c\n" + GOOD, r": 4 rows: the data has 3 classes"),
        (GOOD.replace("0.2", "0.200002"), r", row 0: 1\.000002 is refused: a row sums to 1, within 1e-06"),
        ("0,0,0\n" * 3, r", row 0: 0\.0 is refused: a row sums to 1"),
        (GOOD.replace("0.2", "9" * 300), r", row 0, column 1: '9{199}\.\.\. \(302 characters\) is refused"),
        (b"\xff\xfe0\x00", r": is no text: numbers with commas between them"),
        (b"\x80\x04\x95cos\nsystem\n", r": is no text"),
        ("0," * 400, r": more than 576 bytes: the data has 3 classes"),
    ],
)
def test_wrong_files_are_refused_by_file_row_and_rule(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(InputError, match=rf"mine\.csv{message}"):
        read_matrix(written(tmp_path, content), 3)


def test_a_file_without_end_is_read_to_its_bound_alone(tmp_path: Path) -> None:
    path = tmp_path / "huge.csv"
    with path.open("wb") as file:
        os.truncate(file.fileno(), 2**40)  # a terabyte of holes
    with pytest.raises(InputError, match=r"huge\.csv: more than 6400 bytes: the data has 10 classes"):
        read_matrix(path, 10)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"huge\.csv: there is no such file: dataset\.matrices is relative"):
        read_matrix(path, 10)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200) | st.text("0123456789.,-+einf_\n ", max_size=60).map(str.encode))
def test_any_bytes_are_a_matrix_or_refused(tmp_path: Path, content: bytes) -> None:
    try:
        matrix = read_matrix(written(tmp_path, content), 2)
    except InputError:
        return
    assert matrix.min() >= 0
    assert matrix.sum(axis=1) == pytest.approx([1, 1], abs=1.1e-6)
