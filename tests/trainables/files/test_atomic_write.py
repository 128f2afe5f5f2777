"""A file is there whole or not at all, here and on the file systems of pyarrow."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from pyarrow import fs

from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.atomic_write import replacing, write
from tosmooth.trainables.files.filesystems import appearing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.csv"
    write("old", path)
    write(b"new \xff", path)
    assert path.read_bytes() == b"new \xff"
    assert names(path.parent) == ["table.csv"]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be written .*name a file you may write"):
        write("table", tmp_path)
    assert names(tmp_path) == []
    assert list(tmp_path.parent.glob(".*.partial")) == []


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_an_error_leaves_the_file_as_it_was(alone: bool, error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")

    def cut_off() -> None:
        with replacing(path, alone) as partial:
            partial.write_text("ne")
            raise error

    with pytest.raises(error):
        cut_off()
    assert (path.read_text(), names(tmp_path)) == ("old", ["a"])


def test_two_that_write_at_once_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with replacing(path) as first, replacing(path) as second:
        first.write_text("first")
        second.write_text("second")
    assert (path.read_text(), names(tmp_path)) == ("first", ["a"])  # whose block ended last


def test_who_writes_alone_writes_over_what_a_kill_left(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with replacing(path, alone=True) as partial:
        partial.write_text("whole")
    partial.write_text("torn, and longer than what follows")
    with replacing(path, alone=True) as again:
        again.write_text("new")
    assert (again, path.read_text(), names(tmp_path)) == (partial, "new", ["a"])


def test_a_file_appears_on_any_file_system_whole_or_not_at_all(tmp_path: Path) -> None:
    files, name = fs.LocalFileSystem(), str(tmp_path / "a")

    def put(content: bytes, error: BaseException | None) -> None:
        with appearing(files, name) as partial:
            Path(partial).write_bytes(content)
            if error is not None:
                raise error

    put(b"old", None)
    with pytest.raises(KeyboardInterrupt):
        put(b"ne", KeyboardInterrupt())
    assert (Path(name).read_bytes(), names(tmp_path)) == (b"old", ["a"])


def test_a_link_is_followed_and_stays_one(tmp_path: Path) -> None:
    there, missing = tmp_path / "there.txt", tmp_path / "folder" / "missing.txt"
    there.write_text("before")
    for target in (there, missing):
        link = tmp_path / f"to-{target.name}"
        link.symlink_to(target)
        write("after", link)
        assert link.is_symlink()
        assert target.read_text() == "after"


def test_a_pipe_and_a_device_are_written_to_and_stay_what_they_are(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write("a table", pipe)
    reader.join(10)
    assert read == [b"a table"]
    assert pipe.is_fifo()
    null = tmp_path / "null"
    null.symlink_to("/dev/null")
    write("a table", null)
    assert Path("/dev/null").is_char_device()


def test_what_goes_to_standard_output_is_added_to_what_it_is_and_replaces_nothing(tmp_path: Path) -> None:
    code = "from pathlib import Path; from tosmooth.trainables.files.atomic_write import write; "
    command = [sys.executable, "-c", code + "write('new', Path('/dev/stdout'))"]
    file = tmp_path / "all.csv"
    file.write_text("old ")
    with file.open("a") as opened:
        subprocess.run(command, stdout=opened, check=True)
    assert file.read_text() == "old new"
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout == b"new"


def test_a_link_to_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "a")
    with pytest.raises(InputError, match="cannot be written"):
        write("text", tmp_path / "a")
