"""Where trunks lie: what is refused before anything is trained, and what is removed, which is trunks alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from trainables.config import InputError
from trainables.masking import masked
from trainables.places import TROUBLE, TRUNK, check_place, join, lengths, open_place, remove_states, take, upload

ROOT = Path(__file__).resolve().parents[2]
KEY = "0123456789abcdef" * 2


def test_at_most_eight_lengths_are_kept_spread_over_the_warm_ups_and_the_longest_is_one() -> None:
    assert lengths(range(91)) == {11, 22, 33, 45, 56, 67, 78, 90}  # every 90 / 8 = 11.25 epochs
    assert lengths(range(9)) == {1, 2, 3, 4, 5, 6, 7, 8}
    assert lengths(range(10)) == {1, 2, 3, 4, 5, 6, 7, 9}
    assert lengths([20, 0, 5, 5]) == {5, 20}
    assert lengths([0]) == set()


@pytest.mark.parametrize(
    ("place", "joined"),
    [
        ("/data/trunks", "/data/trunks/tiny"),
        ("/data/trunks/", "/data/trunks/tiny"),
        ("file:///data", "file:///data/tiny"),
        ("s3://bucket", "s3://bucket/tiny"),
        ("s3://bucket/a/?region=eu-west-1", "s3://bucket/a/tiny?region=eu-west-1"),
        ("hdfs://name:9000/a", "hdfs://name:9000/a/tiny"),
    ],
)
def test_folder_of_a_study_lies_below_the_path_or_uri(place: str, joined: str) -> None:
    assert join(place, "tiny") == joined


@pytest.mark.parametrize("place", ["trunks", "", "nosuch://bucket/a", "gs://bucket?nonsense=1"])
def test_what_is_no_absolute_path_and_no_uri_is_refused(place: str) -> None:
    with pytest.raises(InputError) as caught:
        open_place(place)
    rule = "an absolute path, or a URI of pyarrow's file systems, that can be written to"
    assert str(caught.value).startswith(f"trunks.folder: {masked(place)!r} is refused: {rule}")


def test_place_that_can_be_written_to_is_made_and_left_empty(tmp_path: Path) -> None:
    check_place(str(tmp_path / "a" / "b"))
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_place_that_cannot_be_written_to_is_refused_by_the_key_it_was_given_under(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^--trunks: '.*/file/a' is refused: .*Cannot create directory"):
        check_place(str(tmp_path / "file" / "a"), "--trunks")


def test_refusal_does_not_tell_the_password() -> None:
    with pytest.raises(InputError) as caught:
        open_place("s3://me:secret@bucket/a?nonsense=1")
    assert "'s3://***@bucket/a?***' is refused" in str(caught.value)
    assert "'nonsense'" in str(caught.value)  # what is wrong with it, by pyarrow
    assert "secret" not in str(caught.value)


def test_trunks_are_removed_with_their_folder_and_a_missing_one_is_fine(tmp_path: Path) -> None:
    place = tmp_path / "trunks"
    (place / KEY).mkdir(parents=True)
    (place / KEY / "2.trunk").touch()
    (place / KEY / f"3.trunk.{KEY}.partial").touch()  # of a trial that was killed
    remove_states(str(place), TRUNK)
    assert not place.exists()
    remove_states(str(place), TRUNK)


def test_files_of_others_are_never_removed(tmp_path: Path) -> None:
    (tmp_path / KEY).mkdir()
    for name in (f"{KEY}/2.trunk", f"{KEY}/notes.txt", "photo.jpg", "2.trunk"):
        (tmp_path / name).touch()
    remove_states(str(tmp_path), TRUNK)
    left = sorted(str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file())
    assert left == [f"{KEY}/notes.txt", "2.trunk", "photo.jpg"]


def test_place_that_is_gone_when_trunks_are_removed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    remove_states("nosuch://me:secret@bucket/a", TRUNK)
    (message,) = caplog.messages
    assert message.startswith("files are left behind, delete them yourself: trunks.folder: 'nosuch://***@bucket/a'")


def test_places_are_checked_without_torch() -> None:
    code = "import sys, trainables.places; print('torch' in sys.modules)"  # the driver does not load it
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_file_goes_to_a_place_and_comes_from_it_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "network").write_bytes(b"weights")
    place = (tmp_path / "kept" / "a").as_uri()
    upload(tmp_path / "network", place)
    assert [file.name for file in (tmp_path / "kept").iterdir()] == ["a"]
    take(place, tmp_path / "home" / "b")
    assert [file.name for file in (tmp_path / "home").iterdir()] == ["b"]
    assert (tmp_path / "home" / "b").read_bytes() == b"weights"
    assert list((tmp_path / "kept").iterdir()) == []
    with pytest.raises(TROUBLE):
        take(place, tmp_path / "home" / "c")
    with pytest.raises(TROUBLE):
        upload(tmp_path / "gone", place)
    assert not list(tmp_path.rglob("*partial"))
    assert not (tmp_path / "home" / "c").exists()
