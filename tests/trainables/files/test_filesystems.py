"""Where trunks lie: what is refused before anything is trained, and what is removed, which is trunks alone."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tosmooth.trainables.checkpointing.layout import TRUNK, lengths, remove_states
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.files.filesystems import TROUBLE, _bounded, check_place, join, open_place, take, upload
from tosmooth.trainables.redact import masked

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


@pytest.mark.parametrize("key", ["trunks.folder", "--data-dir"])
def test_a_place_without_the_package_that_reads_it_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)  # as where it is not installed
    with pytest.raises(InputError, match=rf"^{key}: 'hf://datasets/a/b' is refused: .*pip install huggingface_hub"):
        open_place("hf://datasets/a/b", key)


def test_a_store_of_google_is_asked_for_a_minute_and_not_a_quarter_of_an_hour() -> None:
    assert _bounded("gs://bucket/a") == "gs://bucket/a?retry_limit_seconds=60"
    assert _bounded("gcs://bucket?scheme=http") == "gcs://bucket?scheme=http&retry_limit_seconds=60"
    for place in ("gs://bucket/a?retry_limit_seconds=5", "s3://bucket/a?region=x", "/data/a?b"):
        assert _bounded(place) == place
    begin = time.monotonic()
    files, folder = open_place("gs://no-such-bucket/a?retry_limit_seconds=1&endpoint_override=127.0.0.1:9&scheme=http")
    with pytest.raises(TROUBLE):
        files.get_file_info(folder)
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize("name", ["feature%2Fy", "what?", "a#b", "a&b;c", """it's "so\"""", "sp ace", "ünï→", "-dash"])
def test_a_path_is_taken_as_it_is_whatever_is_in_it(tmp_path: Path, name: str) -> None:
    for place in (str(tmp_path / name), (tmp_path / name).as_uri()):
        check_place(join(place, "tiny"))
        assert [file.name for file in tmp_path.iterdir()] == [name]
        assert [file.name for file in (tmp_path / name).iterdir()] == ["tiny"]


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
    # The driver does not load it.
    code = "import sys, tosmooth.trainables.files.filesystems; print('torch' in sys.modules)"
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
