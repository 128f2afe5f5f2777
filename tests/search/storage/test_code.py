"""The user's code that a study names: collected beside its file, kept with it, and held to its digest."""

import dataclasses
from pathlib import Path

import pytest

from tests.search.builders import level
from tosmooth.search.api.studies import load
from tosmooth.search.run.submit import _travelling
from tosmooth.search.spec.loading import difference, load_study, to_yaml
from tosmooth.search.spec.study import StudySpec
from tosmooth.search.storage.code import code_beside, with_code
from tosmooth.search.storage.home import Home
from tosmooth.trainables.errors import InputError
from tosmooth.trainables.user_code import UserCode

STUDY = """
name: tiny
dataset: {name: twonorm, noise: [clean], size: 600, validation_fraction: 0.5, test_size: 200}
network: {factory: "my_models:make"}
training: {epochs: 3, batch_size: 50}
"""
LEVELS = {"twonorm/clean": level("clean", 0.0)}


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(STUDY, encoding="utf-8")
    (folder / "my_models.py").write_text("import my_layers\nraise SystemExit\n", encoding="utf-8")
    (folder / "my_layers.py").write_text("x = 1\n", encoding="utf-8")
    return folder


def read(file: Path) -> tuple[StudySpec, UserCode]:
    spec, code = with_code(load_study(file), file)
    assert code is not None
    return spec, code


def test_a_study_knows_the_digest_of_the_code_beside_it_and_so_do_its_trials(mine: Path) -> None:
    spec, code = read(mine / "tiny.yaml")
    assert set(code.files) == {"my_models.py", "my_layers.py"}
    assert spec.code == code.digest
    trial = spec.trial_config(spec.cells()[0], {"rate": 0.1, "warmup": 0}, 1)
    assert trial.code == code.digest
    assert trial.references == spec.references == {"network.factory": "my_models:make"}
    with pytest.raises(InputError, match=r"code: .* is refused: a SHA-256 in hex"):
        dataclasses.replace(trial, code="abc")


def test_a_study_without_code_of_the_users_has_none(tmp_path: Path) -> None:
    spec = load_study("twonorm")
    assert with_code(spec, tmp_path / "study.yaml") == (spec, None)
    with pytest.raises(InputError, match=r"code: .* is refused: .* leave it out otherwise"):
        load_study("twonorm", [f"code={'a' * 64}"])


def test_a_study_that_comes_with_tosmooth_takes_code_from_the_current_folder(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, changes = Home(tmp_path / "home"), ["network={factory: 'my_models:make'}"]
    with pytest.raises(InputError, match=r"there is no module my_models in .*, nor installed"):
        load("digits", home, changes, None, None)
    monkeypatch.chdir(mine)
    _, code = load("digits", home, changes, None, None)
    assert code is not None
    assert set(code.files) == {"my_models.py", "my_layers.py"}


def test_what_is_kept_is_read_back_without_the_users_folder(mine: Path, tmp_path: Path) -> None:
    spec, code = read(mine / "tiny.yaml")
    folder = Home(tmp_path / "home").study("tiny")
    folder.keep(spec, LEVELS, code)
    assert folder.code_file == folder.path / "study.zip"
    for file in mine.iterdir():
        file.unlink()
    assert folder.spec() == spec
    assert folder.code() == code
    assert with_code(folder.spec(), folder.spec_file) == (spec, code)
    assert with_code(load_study(folder.spec_file), folder.spec_file) == (spec, code)


def test_code_that_changed_is_refused_with_the_difference_in_words(mine: Path, tmp_path: Path) -> None:
    spec, code = read(mine / "tiny.yaml")
    folder = Home(tmp_path / "home").study("tiny")
    folder.keep(spec, LEVELS, code)
    folder.check(spec, code)
    (mine / "my_layers.py").write_text("x = 2\nimport my_more\n", encoding="utf-8")
    (mine / "my_more.py").write_text("", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        folder.check(*read(mine / "tiny.yaml"))
    assert str(caught.value).splitlines() == [
        "study 'tiny' was run before and meant something else:",
        "  code changed: my_layers.py",
        "  code added: my_more.py",
        "Its trials cannot be continued so. Keep both: --name tiny-2",
    ]
    assert difference(spec, read(mine / "tiny.yaml")[0])[0].startswith(f"code: {code.digest} -> ")


def test_another_module_is_told_by_its_name(mine: Path, tmp_path: Path) -> None:
    spec, code = read(mine / "tiny.yaml")
    folder = Home(tmp_path / "home").study("tiny")
    folder.keep(spec, LEVELS, code)
    other = load_study(mine / "tiny.yaml", ["network.factory=my_layers:make"])
    with pytest.raises(InputError, match=r"network\.factory: my_models:make -> my_layers:make"):
        folder.check(*with_code(other, mine / "tiny.yaml"))


def test_a_study_may_say_which_code_it_means(mine: Path) -> None:
    spec, _ = read(mine / "tiny.yaml")
    (mine / "pinned.yaml").write_text(to_yaml(spec), encoding="utf-8")
    assert read(mine / "pinned.yaml")[0] == spec
    (mine / "my_layers.py").write_text("x = 3\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"^code: .* is refused: the code that lies beside the study has the digest"):
        read(mine / "pinned.yaml")


def test_code_that_was_kept_and_is_gone_or_damaged_is_said(mine: Path, tmp_path: Path) -> None:
    spec, code = read(mine / "tiny.yaml")
    folder = Home(tmp_path / "home").study("tiny")
    folder.keep(spec, LEVELS, code)
    folder.code_file.write_bytes(UserCode({"my_models.py": b""}).archive)
    with pytest.raises(InputError, match=r"study\.zip: is not the code of the study"):
        folder.code()
    folder.code_file.unlink()
    with pytest.raises(InputError, match=r"study\.zip: cannot be read \(No such file or directory\)"):
        folder.code()


def test_it_travels_with_a_job_that_is_handed_in(mine: Path) -> None:
    spec, code = read(mine / "tiny.yaml")
    with _travelling(spec, code) as folder:
        assert code_beside(folder / "study.yaml").read_bytes() == code.archive
        assert read(folder / "study.yaml") == (spec, code)
