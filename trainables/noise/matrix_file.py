"""Transition matrix of the user's own, read from a CSV file."""

from pathlib import Path

import numpy as np

from tosmooth.trainables.errors import InputError, require
from tosmooth.trainables.noise.synthetic import Matrix

ENTRY = 64  # bytes of a number and its comma at most: those that libraries write have up to 25
LARGEST = 2**28  # bytes of a file at most
TOLERANCE = 1e-6  # how far from 1 a row may sum


def read_matrix(path: Path, classes: int) -> Matrix:
    """Read P(noisy label = column | clean label = row) from a CSV file, float64 [classes, classes].

    A line for each clean class, in their order, with a probability for each noisy one; no header. Whatever is wrong
    with it raises `InputError` naming file, row and rule; rows and columns count from 0, as classes do.
    """
    rule = f"the data has {classes} classes, each with a row and a column"
    lines = _text(path, min(LARGEST, ENTRY * classes**2), rule).strip().splitlines()
    if len(lines) != classes:
        raise InputError(f"{path}: {len(lines)} rows: {rule}")
    matrix = np.empty((classes, classes))
    for k, line in enumerate(lines):
        cells = line.split(",")
        if len(cells) != classes:
            raise InputError(f"{path}, row {k}: {len(cells)} columns: {rule}")
        matrix[k] = [_probability(cell.strip(), f"{path}, row {k}, column {j}") for j, cell in enumerate(cells)]
        total = float(matrix[k].sum())
        require(abs(total - 1) <= TOLERANCE, f"{path}, row {k}", total, f"a row sums to 1, within {TOLERANCE:g}")
    return matrix


def _text(path: Path, most: int, rule: str) -> str:
    if not path.is_file():
        advice = "dataset.matrices is relative to the data folder (--data-dir)"
        raise InputError(f"{path}: there is no such file: {advice}")
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(f"{path}: more than {most} bytes: {rule}")
    try:
        return content.decode("utf-8-sig")  # spreadsheets put a byte-order mark before it
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text: numbers with commas between them, a row a line") from error


def _probability(cell: str, where: str) -> float:
    rule = "a probability from 0 to 1"
    try:
        value = float(cell)
    except ValueError:
        value = -1.0
    require(0 <= value <= 1, where, cell, rule)
    return value
