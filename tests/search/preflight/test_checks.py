"""What is made of what was found on machines: pure, on hand-made findings."""

from dataclasses import replace
from pathlib import Path

import pytest

from tosmooth.search.preflight.checks import (
    cores_check,
    data_check,
    disk_check,
    folder_checks,
    require_all,
    version_check,
)
from tosmooth.search.preflight.machine import Machine, Wanted, look, versions
from tosmooth.trainables.errors import InputError

VERSIONS = {"python": "3.11.7", "ray": "2.60.0", "torch": "2.15.0+cpu", "optuna": "5.0.0", "tosmooth": "0.1.0 (code 1)"}
DRIVER = Machine(VERSIONS, {}, {"home": ("/home", 10**12)}, {"/data/train": "9 bytes"}, 4)


def test_another_version_on_a_node_fails_and_another_build_does_not() -> None:
    assert version_check(DRIVER, {}).state == "ok"
    build = replace(DRIVER, versions=VERSIONS | {"torch": "2.15.0+cu128"})
    assert version_check(DRIVER, {"10.0.0.1": build, "10.0.0.2": DRIVER}).found.endswith("; the same on 2 nodes")
    old = replace(DRIVER, versions=VERSIONS | {"torch": "2.14.1+cpu", "ray": "2.59.0"})
    found = version_check(DRIVER, {"10.0.0.1": build, "10.0.0.2": old})
    assert (found.state, found.found) == (
        "failed",
        "10.0.0.2: ray 2.59.0 (driver: 2.60.0), torch 2.14.1 (driver: 2.15.0)",
    )
    assert "install on every node what the driver has" in found.advice


def test_another_code_of_the_same_version_fails() -> None:
    other = replace(DRIVER, versions=VERSIONS | {"tosmooth": "0.1.0 (code 2)"})
    found = version_check(DRIVER, {"10.0.0.1": other})
    assert (found.state, found.found) == ("failed", "10.0.0.1: tosmooth 0.1.0 (code 2) (driver: 0.1.0 (code 1))")


def test_versions_of_this_machine_are_all_found() -> None:
    assert list(versions()) == list(VERSIONS)
    assert not [name for name, version in versions().items() if version.startswith("not installed")]


def test_a_node_that_offers_more_cpus_than_it_may_use_is_named() -> None:
    offered = {"10.0.0.1": 4.0, "10.0.0.2": 128.0, "10.0.0.3": 0.0}
    nodes = dict.fromkeys(offered, DRIVER)
    found = cores_check(offered, nodes)
    assert (found.state, found.found) == ("warning", "10.0.0.2 offers 128 CPUs, and may use 4")
    assert "--num-cpus" in found.advice
    assert cores_check(offered | {"10.0.0.2": 3.5}, nodes).state == "ok"


@pytest.mark.parametrize(("free", "state"), [(4.9e9, "warning"), (0.4e9, "failed"), (5.1e9, "ok")])
def test_little_room_warns_and_too_little_fails(free: float, state: str) -> None:
    node = replace(DRIVER, free={"temporary folder": ("/tmp", int(free))})  # noqa: S108 - a name for a message
    found = disk_check({"driver": DRIVER, "10.0.0.1": node})
    assert found.state == state
    if state != "ok":
        assert found.found == f"temporary folder /tmp on 10.0.0.1: {free / 1e9:.1f} GB free"


def test_of_many_nodes_that_fail_some_are_named() -> None:
    refused = replace(DRIVER, refused={"home": "Permission denied"})
    home, cache = folder_checks({"home": "/home"}, "/cache", {f"10.0.0.{i}": refused for i in range(10)})
    assert home.found.startswith("10.0.0.0: Permission denied; 10.0.0.1: ")
    assert home.found.endswith("10.0.0.3: Permission denied; and 6 more")
    assert (cache.state, cache.found) == ("ok", "/cache can be written to by 10 nodes")


def test_data_that_differ_on_a_node_fail_and_made_data_are_no_question() -> None:
    node = replace(DRIVER, data={"/data/train": "8 bytes"})
    found = data_check(DRIVER, {"10.0.0.1": DRIVER})
    assert found is not None
    assert (found.state, found.found) == ("ok", "1 files, of the same size on 1 nodes")
    found = data_check(DRIVER, {"10.0.0.1": DRIVER, "10.0.0.2": node})
    assert found is not None
    assert (found.state, found.found) == ("failed", "10.0.0.2: /data/train: 8 bytes (driver: 9 bytes)")
    assert data_check(replace(DRIVER, data={}), {"10.0.0.1": DRIVER}) is None


def test_files_of_data_are_looked_at_by_their_size(tmp_path: Path) -> None:
    there, gone = tmp_path / "train", tmp_path / "test"
    there.write_bytes(b"12345")
    found = look(Wanted({}, str(tmp_path / "cache"), (str(there), str(gone), str(tmp_path))))
    assert found.data[str(there)] == "5 bytes"
    assert found.data[str(gone)] == "cannot be read (No such file or directory)"
    assert found.data[str(tmp_path)].startswith("cannot be read (")
    assert [file.name for file in tmp_path.iterdir()] == ["train"]


def test_all_that_failed_is_one_refusal_with_what_to_do() -> None:
    refused = replace(DRIVER, refused={"home": "Permission denied", "trunks": "no such bucket"})
    shared = {"home": "/home", "trunks": "s3://bucket"}
    with pytest.raises(InputError, match=r"home: a: Permission denied; let the user.*\ntrunks: a: no such bucket; "):
        require_all(folder_checks(shared, "/cache", {"a": refused}))
    require_all(folder_checks(shared, "/cache", {"a": DRIVER}))
