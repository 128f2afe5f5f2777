"""The settings of a machine: which of their sources wins, and what the home's file may say."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ray._private import accelerators
from typer.main import get_command

from tests.search.conftest import Command
from tests.search.tools import TINY
from tosmooth.search.cli.main import app
from tosmooth.search.run.ray_cluster import local_resources
from tosmooth.search.settings import SETTINGS

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


def test_what_other_tools_set_is_used_after_our_own_and_said(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    written(home, {key: values("file")[key] for key in ("address", "tracking-uri")})
    theirs = {"tracking-uri": "MLFLOW_TRACKING_URI", "address": "RAY_ADDRESS"}
    for variable, value in (("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9/x"), ("RAY_ADDRESS", "127.0.0.1:9")):
        monkeypatch.setenv(variable, value)
    found = doctor(command, "--home", home)
    assert {key: found[key][1] for key in theirs} == theirs
    assert found["tracking-uri"][0] == "http://***@127.0.0.1:9/x"
    said = command("analyse", "none", "--home", home)
    used = "--tracking-uri: http://***@127.0.0.1:9/x (MLFLOW_TRACKING_URI"
    assert f"{used}, which comes before tosmooth.toml)" in said.err  # as all of the environment does
    assert f"{used})" in command("analyse", "none", "--home", tmp_path / "bare").err
    for key in theirs:
        monkeypatch.setenv(SETTINGS[key].variable, values("env")[key])
    found = doctor(command, "--home", home)
    assert {key: found[key][1] for key in theirs} == {key: SETTINGS[key].variable for key in theirs}
    assert "MLFLOW_TRACKING_URI" not in command("analyse", "none", "--home", home).err


@pytest.mark.parametrize("value", ["./mlruns", "/data/ml runs", "file:///data/mlruns", "databricks", "uc:me", "http:x"])
def test_a_tracking_uri_of_other_tools_that_is_nothing_for_us_is_not_used_and_that_is_said(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", value)
    found = doctor(command, "--home", tmp_path / "bare")
    assert found["tracking-uri"] == ("a database in the home", "default")
    said = command("analyse", "none", "--home", tmp_path / "bare").err
    assert f"MLFLOW_TRACKING_URI is not used, but a database in the home: {value!r} is no address of http," in said
    written(home := tmp_path / "home", {"tracking-uri": "http://127.0.0.1:9"})
    assert doctor(command, "--home", home)["tracking-uri"] == ("http://127.0.0.1:9", str(home / "tosmooth.toml"))
    assert "is not used, but what tosmooth.toml says: " in command("analyse", "none", "--home", home).err
    refused = command("ui", "--home", tmp_path / "bare", "--tracking-uri", value)
    assert refused.code == 2
    assert f"--tracking-uri: {value!r} is refused: MLflow's is the address of a server" in refused.err


def test_where_a_cluster_takes_jobs_is_not_joined(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8265")
    (ray, *_) = json.loads(command("doctor", "--json").out)["checks"]
    assert (ray["name"], ray["state"]) == ("Ray", "failed")
    assert "there a cluster takes jobs (`tosmooth submit`)" in ray["found"]


def test_what_other_tools_set_and_is_not_used_is_said(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    set_for_others = {"MLFLOW_EXPERIMENT_NAME": "a", "MLFLOW_EXPERIMENT_ID": "1", "MLFLOW_RUN_ID": "b"}
    for name, value in (set_for_others | {"OMP_NUM_THREADS": "8"}).items():
        monkeypatch.setenv(name, value)
    lines = command("doctor", "--json").err.splitlines()
    assert [line.partition(":")[0] for line in lines if "not used" in line] == [
        f"{name} is not used" for name in (*set_for_others, "OMP_NUM_THREADS")
    ]
    assert command("doctor", "--json", "twonorm", "--set", "resources.cpus=8").err.count("OMP_NUM_THREADS") == 0


@pytest.mark.parametrize(
    ("visible", "gpus"), [(None, 4), ("", 0), ("-1", 0), ("0,2", 2), ("1,-1,2", 1), ("0,1,2,3,4", 4)]
)
def test_gpus_that_the_environment_hides_are_not_counted(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, gpus: int
) -> None:
    manager = accelerators.get_accelerator_manager_for_resource("GPU")
    monkeypatch.setattr(manager, "get_current_node_num_accelerators", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert local_resources()["GPU"] == gpus


def test_address_local_is_a_ray_of_our_own(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "local")
    found = json.loads(command("doctor", "--json").out)["checks"]
    assert "one of its own is started" in found[0]["found"]


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


def test_the_names_of_variables_stay() -> None:
    assert {setting.variable for setting in SETTINGS.values()} == {
        "TOSMOOTH_HOME",
        "TOSMOOTH_DATA_DIR",
        "TOSMOOTH_CACHE_DIR",
        "TOSMOOTH_ADDRESS",
        "TOSMOOTH_STORAGE",
        "TOSMOOTH_TRACKING_URI",
        "TOSMOOTH_CIFARN_URL",
    }


def test_no_command_declares_a_setting_of_its_own() -> None:
    by_parameter = {setting.parameter: setting for setting in SETTINGS.values()}
    group: Any = get_command(app)
    commands = {**group.commands, **group.commands["data"].commands}
    submit = {option.name for option in commands.pop("submit").params}
    assert submit >= {setting.parameter for setting in SETTINGS.values() if setting.forwarded}
    assert {option.name for option in commands["doctor"].params} >= by_parameter.keys()
    for name, command in commands.items():
        for option in command.params:
            if (setting := by_parameter.get(option.name)) is not None:
                assert (option.opts, option.envvar) == ([setting.option], setting.variables), name
                assert option.help.startswith(setting.help), name


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
    assert "--tracking-uri: 'htp://***@host:5000' is refused" in err


def test_data_and_cache_lie_where_the_file_of_a_moved_home_says(command: Command, tmp_path: Path) -> None:
    home = tmp_path / "home"
    written(home, {"data-dir": "tables", "cache-dir": "../cache of this node"})
    (home / "tables").mkdir()
    table = {"image": [{"bytes": picture(), "path": None}] * 40, "label": np.arange(40) % 2}
    pq.write_table(pa.table(table), home / "tables" / "train.parquet")
    study = tmp_path / "mine.yaml"
    study.write_text(
        "name: mine\nnetwork: {name: cnn}\n"
        "dataset: {name: mine, noise: [given], table: {train: train.parquet, image: image}}\n",
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
