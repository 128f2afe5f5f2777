"""The settings of a machine: which of their sources wins, and what the home's file may say."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from search.settings import SETTINGS
from tests.search.conftest import Command
from tests.search.tools import TINY

ADDRESSES = [key for key, setting in SETTINGS.items() if setting.kind == "address"]
DEFAULTS = {key: setting.default for key, setting in SETTINGS.items()}


def values(word: str) -> dict[str, str]:
    """A value of each setting that names its source. No one listens there."""
    return {
        "data-dir": f"{word}-data",
        "cache-dir": f"{word}-cache",
        "address": "127.0.0.1:9",
        "storage": f"postgresql://me:hunter2@127.0.0.1:9/{word}",
        "tracking-uri": f"http://me:hunter2@127.0.0.1:9/{word}",
        "cifarn-url": f"https://me:hunter2@{word}.example/",
    }


def written(home: Path, settings: Mapping[str, Any]) -> Path:
    home.mkdir(parents=True, exist_ok=True)
    file = home / "tosmooth.toml"
    file.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()), encoding="utf-8")
    file.chmod(0o600)
    return file


def doctor(command: Command, *arguments: object) -> dict[str, tuple[str, str]]:
    """What `tosmooth doctor` says of each setting: value and source."""
    code, out, err = command("doctor", "--json", *arguments)
    assert code in (0, 1), err
    assert "hunter2" not in out + err
    return {key: (each["value"], each["source"]) for key, each in json.loads(out)["settings"].items()}


def test_command_line_wins_over_environment_over_file_over_default(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = {word: {k: v.replace("me:hunter2", "***") for k, v in values(word).items()} for word in ("line", "env")}
    homes = {word: tmp_path / word for word in ("line", "env")}
    for home in homes.values():
        written(home, values("file"))
    assert doctor(command) == {key: (default, "default") for key, default in DEFAULTS.items()}

    monkeypatch.setenv("TOSMOOTH_HOME", str(homes["env"]))
    found = doctor(command)
    assert found.pop("home") == (str(homes["env"]), "TOSMOOTH_HOME")
    assert {source for _, source in found.values()} == {str(homes["env"] / "tosmooth.toml")}
    assert found["data-dir"][0] == str(homes["env"] / "file-data")  # relative to the home
    assert found["storage"][0] == "postgresql://***@127.0.0.1:9/file"
    assert found.keys() == values("file").keys()

    for key, value in values("env").items():
        monkeypatch.setenv(SETTINGS[key].variable, value)
    found = doctor(command)
    assert found.pop("home") == (str(homes["env"]), "TOSMOOTH_HOME")
    assert found == {key: (value, SETTINGS[key].variable) for key, value in shown["env"].items()}

    options = [word for key, value in values("line").items() for word in (f"--{key}", value)]
    found = doctor(command, "--home", homes["line"], *options)
    assert found.pop("home") == (str(homes["line"]), "--home")
    assert found == {key: (value, f"--{key}") for key, value in shown["line"].items()}


def test_the_names_of_variables_are_those_of_the_readme() -> None:
    assert {setting.variable for setting in SETTINGS.values()} == {
        "TOSMOOTH_HOME",
        "TOSMOOTH_DATA_DIR",
        "TOSMOOTH_CACHE_DIR",
        "TOSMOOTH_ADDRESS",
        "TOSMOOTH_STORAGE",
        "TOSMOOTH_TRACKING_URI",
        "TOSMOOTH_CIFARN_URL",
    }
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    rows = [f"| `{s.key}` | `{s.option}`, `{s.variable}` | {s.default} |" for s in SETTINGS.values() if s.key != "home"]
    assert [row for row in rows if row not in readme] == []


@pytest.mark.parametrize("way", ["line", "env", "file"])
def test_an_address_may_stand_in_a_file_of_its_own(
    way: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, options = tmp_path / "home", []
    home.mkdir()
    for key in ADDRESSES:
        file = home / key
        file.write_text(values("file")[key] + "\n", encoding="utf-8")
        file.chmod(0o600)
        if way == "line":
            options += [f"--{key}", f"@{file}"]
        elif way == "env":
            monkeypatch.setenv(SETTINGS[key].variable, f"@{file}")
    if way == "file":
        written(home, {key: f"@{key}" for key in ADDRESSES})
    found = doctor(command, "--home", home, *options)
    for key in ADDRESSES:
        source = {"line": f"--{key}", "env": SETTINGS[key].variable, "file": str(home / "tosmooth.toml")}[way]
        value = values("file")[key].replace("me:hunter2", "***")
        assert found[key] == (value, f"{source}, from {home / key}")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('storrage = "x"', "'storrage': unknown key; did you mean 'storage'?"),
        ('seed = "x"', "'seed': unknown key; one of data-dir, cache-dir, address"),
        ('home = "there"', "home: 'there' is refused: the home is what holds this file; name it with --home or"),
        ("data-dir = 5", "data-dir: 5 is refused: a text in quotes, on one line"),
        ('address = ["http://me:hunter2@a"]', "is refused: a text in quotes, on one line"),
        ('storage = ""', "storage: '' is refused: a text in quotes, on one line"),
        ('storage = "postgresql://me:hunter2@db\\nx"', "is refused: a text in quotes, on one line"),
        ("[ray]\naddress = 'x'", "'ray': unknown key; one of data-dir"),
        ("storage = postgresql://me:hunter2@db", "the settings are refused: they are TOML, key = 'value': "),
        (b"\xff", "the settings are refused: they are TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_file_key_value_and_rule(
    content: str | bytes, words: str, command: Command, tmp_path: Path
) -> None:
    file = tmp_path / "home" / "tosmooth.toml"
    file.parent.mkdir()
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    for arguments in (("status", "tiny"), ("data", "verify", "cifar10"), ("doctor",), ("ui",)):
        code, out, err = command(*arguments, "--home", file.parent)
        assert (code, out) == (2, "")
        assert err.startswith(f"error: {file}: ")
        assert words in err
        assert "hunter2" not in err


def test_an_address_file_that_the_settings_name_and_is_not_there_is_refused_with_both(
    command: Command, tmp_path: Path
) -> None:
    file = written(tmp_path / "home", {"storage": "@secret"})
    code, _, err = command("status", "tiny", "--home", file.parent)
    assert code == 2
    assert f"error: {file}: storage: '@{file.parent / 'secret'}' is refused: the file that holds the address is" in err


def test_a_password_that_others_may_read_is_said(command: Command, tmp_path: Path) -> None:
    home = tmp_path / "home"
    file = written(home, {"tracking-uri": "http://me:hunter2@host:5000"})
    assert "warning" not in command("ui", "--home", home).err
    file.chmod(0o644)
    err = command("ui", "--home", home).err
    assert f"warning: {file}: holds a password, and other users of this machine may read it" in err
    assert "hunter2" not in err
    written(home, {"tracking-uri": "http://host:5000"}).chmod(0o644)
    assert "warning" not in command("ui", "--home", home).err


def test_ui_shows_the_address_of_a_server_wherever_it_is_set(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    address = "https://me:hun@ter2@host:5000/mlflow?token=hunter3"
    assert command("ui", "--tracking-uri", address) == (0, "MLflow: https://host:5000/mlflow\n", "")
    written(home, {"tracking-uri": address})
    assert command("ui", "--home", home) == (0, "MLflow: https://host:5000/mlflow\n", "")
    monkeypatch.setenv("TOSMOOTH_TRACKING_URI", "http://other:5000")
    assert command("ui", "--home", home) == (0, "MLflow: http://other:5000\n", "")
    code, _, err = command("ui", "--tracking-uri", "htp://me:hunter2@host:5000")
    assert (code, "hunter2" in err) == (2, False)
    assert "tracking_uri: 'htp://***@host:5000' is refused" in err


def test_data_and_cache_lie_where_the_file_of_a_moved_home_says(command: Command, tmp_path: Path) -> None:
    home = tmp_path / "home"
    written(home, {"data-dir": "tables", "cache-dir": "../cache of this node"})
    (home / "tables").mkdir()
    table = {"image": [{"bytes": picture(), "path": None}] * 40, "label": np.arange(40) % 2}
    pq.write_table(pa.table(table), home / "tables" / "train.parquet")
    study = tmp_path / "mine.yaml"
    study.write_text(
        "name: mine\nnetwork: {name: cnn}\n"
        "dataset: {name: mine, levels: [given], table: {train: train.parquet, image: image}}\n",
        encoding="utf-8",
    )
    home = home.rename(tmp_path / "moved")
    code, out, err = command("describe", study, "--home", home)
    assert code == 0, err
    assert "mine/given" in out
    assert list((tmp_path / "cache of this node").glob("table-*.arrow"))
    assert not (home / "cache").exists()


def picture() -> bytes:
    from tests.tools import encoded

    return encoded(np.zeros((32, 32, 3), np.uint8))


def test_run_takes_the_address_of_ray_from_the_file(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY, encoding="utf-8")
    written(tmp_path / "home", {"address": "127.0.0.1:9"})
    code, _, err = command("run", file, "--home", tmp_path / "home")
    assert (code, "--address: '127.0.0.1:9' is refused: no Ray cluster answers there" in err) == (2, True)


def test_run_refuses_a_database_that_does_not_answer_before_it_measures_or_keeps_anything(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY, encoding="utf-8")
    monkeypatch.setenv("TOSMOOTH_STORAGE", "postgresql://me:hunter2@127.0.0.1:9/x")
    code, _, err = command("run", file)
    assert code == 2
    assert "storage: 'postgresql://***@127.0.0.1:9/x' is refused: nothing answers at 127.0.0.1:9" in err
    assert "hunter2" not in err
    assert not Path("tosmooth-home").exists()
