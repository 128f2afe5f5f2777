"""Which form a file has: by its first bytes, else by its name. What is no table is refused with what to do about it."""

import re
import zipfile
from pathlib import Path
from typing import Literal

from tosmooth.trainables.data.tables.memory import sound
from tosmooth.trainables.data.tables.streams import Codec, opened
from tosmooth.trainables.errors import InputError

Format = Literal["Parquet", "Arrow", "Arrow stream", "NumPy", "npz", "CSV", "JSON"]

CODECS: dict[bytes, Codec] = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"BZh": "bz2",
    b"\xfd7zXZ\0": "xz",
    b"\x04\x22\x4d\x18": "lz4",
}
MAGIC: dict[bytes, Format] = {
    b"PAR1": "Parquet",
    b"ARROW1": "Arrow",
    b"\xff\xff\xff\xff": "Arrow stream",
    b"\x93NUMPY": "NumPy",
}
WRITE = "write it as Parquet or CSV"
PICKLE = "a pickle, which can run any program where it is read: " + WRITE
HDF5 = "HDF5: " + WRITE
EXCEL = "a workbook of Excel: save the sheet as CSV UTF-8"
UNPACK = "an archive: unpack it and name what is in it"
WEB_PAGE = "a web page: download the file itself"
REFUSED_MAGIC: dict[bytes, str] = {
    # Arrow trusts these: one that is damaged ends the process that reads it.
    b"FEA1": "Feather as it was before 2020: read it where you trust it, and write it as Parquet",
    b"PARE": "Parquet that is encrypted: write it without",
    b"\x89HDF": HDF5,
    b"SQLite format 3\0": "a database of SQLite: export the table as CSV",
    b"\xd0\xcf\x11\xe0": EXCEL,
    **{b"\x80" + bytes([protocol]): PICKLE for protocol in range(2, 6)},
    b"Obj\x01": "Avro: " + WRITE,
    b"ORC": "ORC: " + WRITE,
    b"7z\xbc\xaf": UNPACK,
    b"Rar!": UNPACK,
    b"%PDF": "a PDF: " + WRITE,
    b"\x89PNG": "a picture: name a table of pictures, or their folder",
    b"\xff\xd8\xff": "a picture: name a table of pictures, or their folder",
    b"MATLAB": "a file of MATLAB: " + WRITE,
    b"RDX": "a file of R: " + WRITE,
    b"version https://git-lfs": "a pointer of Git LFS to the file itself: bring that with `git lfs pull`",
    b"<!DOCTYPE": WEB_PAGE,
    b"<!doctype": WEB_PAGE,
    b"<html": WEB_PAGE,
}
NAMES: dict[str, Format] = {
    **dict.fromkeys((".parquet", ".pq", ".parq"), "Parquet"),
    **dict.fromkeys((".arrow", ".feather", ".ipc", ".arrows"), "Arrow"),
    ".npy": "NumPy",
    ".npz": "npz",
    **dict.fromkeys((".csv", ".tsv", ".tab", ".txt", ".data", ".dat"), "CSV"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "JSON"),
}
REFUSED_NAMES: dict[str, str] = {
    **dict.fromkeys((".xlsx", ".xlsm", ".xlsb", ".xls", ".ods"), EXCEL),
    **dict.fromkeys((".pkl", ".pickle", ".joblib", ".pt", ".pth"), PICKLE),
    **dict.fromkeys((".h5", ".hdf5", ".hdf"), HDF5),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".rar"), UNPACK),
    **dict.fromkeys((".db", ".sqlite", ".sqlite3"), "a database: export the table as CSV"),
    **dict.fromkeys((".orc", ".avro", ".mat", ".rds", ".rdata", ".sav", ".dta", ".sas7bdat"), WRITE),
}
PACKED_NAMES = (".gz", ".gzip", ".zst", ".zstd", ".bz2", ".xz", ".lz4")
BINARY = ("Parquet", "Arrow", "NumPy", "npz")  # formats that are known by their first bytes
KNOWN = "Parquet, CSV, JSON lines, Arrow, Feather, .npz and .npy are read"


def suffix(name: str) -> str:
    """End of a file's name that says its form, in small letters: `.csv` of a.csv.gz, too."""
    ends = [end.lower() for end in Path(name).suffixes]
    return next((end for end in reversed(ends) if end not in PACKED_NAMES), "")


def format_of(path: Path) -> tuple[Format, Codec | None]:
    """Tell the form of a file, and how it is packed. Raises `InputError` for what is no table."""
    with sound(path, "table"):
        with path.open("rb") as file:
            head = file.read(512)
        if not head:
            raise InputError(f"{path}: is empty")
        codec = next((codec for magic, codec in CODECS.items() if head.startswith(magic)), None)
        if codec is not None:
            with opened(path, codec) as stream:
                head = stream.read(512)
        found = _by_content(path, head)
    if found is None:
        return _by_name(path, head), codec
    if codec is not None:
        raise InputError(f"{path}: {found} packed with {codec}: unpack it first")
    return found, None


def _by_content(path: Path, head: bytes) -> Format | None:
    found = next((form for magic, form in MAGIC.items() if head.startswith(magic)), None)
    if found is not None:
        return found
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip(path)
    refused = next((rule for magic, rule in REFUSED_MAGIC.items() if head.lstrip().startswith(magic)), None)
    refused = UNPACK if head[257:262] == b"ustar" else refused
    if refused is not None:
        raise InputError(f"{path}: {refused}; {KNOWN}")
    return None


def _zip(path: Path) -> Format:
    """Tell an .npz from what else is a zip inside."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise InputError(f"{path}: damaged: bring it anew ({error})") from error
    if names and all(name.endswith(".npy") for name in names):
        return "npz"
    excel = "[Content_Types].xml" in names
    pickled = any(re.search(r"(^|/)data\.pkl$", name) for name in names)
    raise InputError(f"{path}: {EXCEL if excel else PICKLE if pickled else UNPACK}; {KNOWN}")


def _by_name(path: Path, head: bytes) -> Format:
    end = suffix(path.name)
    if end in REFUSED_NAMES:
        raise InputError(f"{path}: {REFUSED_NAMES[end]}; {KNOWN}")
    form = NAMES.get(end)
    if form in BINARY:
        raise InputError(f"{path}: damaged, or no {form} file: bring it anew")
    if form is None:  # such as .log, or none: text that begins as JSON does, or CSV
        form = "JSON" if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[") else "CSV"
    return form
