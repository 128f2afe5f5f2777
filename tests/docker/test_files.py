"""The files of `docker/` as files: they parse, each command is a script that is there, and no secret is in any."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.docker.files import COMPOSE, DOCKER, EXAMPLE, GPU, SCRIPTS, example, here, instructions, services

PLACEHOLDER = "change-me"
SECRET = re.compile("(PASSWORD|TOKEN|SECRET|KEY)(?!_PATH)")


def compose_command() -> list[str]:
    """Docker's client with its plugin, or the program of its own; neither needs an engine for this."""
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]) and subprocess.run([*command, "version"], capture_output=True).returncode == 0:
            return command
    pytest.skip("neither `docker compose` nor `docker-compose` is installed")


@pytest.mark.parametrize("files", [[COMPOSE], [COMPOSE, GPU]], ids=["cpu", "gpu"])
def test_docker_compose_accepts_the_files(files: list[Path]) -> None:
    named = [part for file in files for part in ("-f", str(file))]
    command = [*compose_command(), "--env-file", str(EXAMPLE), *named, "--profile", "run", "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(yaml.safe_load(done.stdout)["services"]) == {"postgres", "mlflow", "ray-head", "ray-worker", "tosmooth"}


def test_docker_compose_refuses_to_go_on_without_a_secret(tmp_path: Path) -> None:
    (tmp_path / "empty.env").write_text("")
    command = [*compose_command(), "--env-file", str(tmp_path / "empty.env"), "-f", str(COMPOSE), "config"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert (
        "required variable" in done.stderr or "is missing a value" in done.stderr or "Missing mandatory" in done.stderr
    )


def test_every_command_of_the_containers_is_a_script_that_can_be_run() -> None:
    commands = [command for service in services().values() for command in service.get("entrypoint", [])]
    commands += [service["healthcheck"]["test"][1] for service in services().values() if "healthcheck" in service]
    commands += [
        part for word, rest in instructions() if word in ("ENTRYPOINT", "HEALTHCHECK") for part in quoted(rest)
    ]
    assert len(commands) == 7
    for command in commands:
        assert os.access(here(command), os.X_OK), command


def quoted(text: str) -> list[str]:
    return re.findall(r'"([^"]+)"', text)


def test_every_step_of_the_image_is_a_script_that_can_be_run() -> None:
    steps = [rest.split()[0] for word, rest in instructions() if word == "RUN"]
    assert len(steps) == 3
    for step in steps:
        assert os.access(here(step), os.X_OK), step


def test_dependencies_are_a_layer_before_the_source() -> None:
    copied = [rest.split()[:-1] for word, rest in instructions() if word in ("COPY", "RUN")]
    order = [" ".join(each) for each in copied]
    dependencies = next(i for i, (word, rest) in enumerate(steps()) if rest.endswith("install.sh dependencies"))
    before = " ".join(order[:dependencies])
    assert "requirements.lock" in before
    assert not re.search("search|trainables|studies|pyproject", before)


def steps() -> list[tuple[str, str]]:
    return [(word, rest) for word, rest in instructions() if word in ("COPY", "RUN")]


def test_image_runs_under_an_account_without_rights() -> None:
    last = [rest for word, rest in instructions() if word == "USER"][-1]
    account = (DOCKER / "account.sh").read_text(encoding="utf-8")
    assert last == "10001:10001"
    assert "ID=10001" in account


def test_no_layer_of_the_image_is_given_a_secret() -> None:
    given = [rest for word, rest in instructions() if word in ("ARG", "ENV")]
    assert [words for words in given if SECRET.search(words)] == []
    copied = {part for word, rest in instructions() if word == "COPY" for part in rest.split()[:-1]}
    ignored = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored  # everything, but for what is named
    kept = {line[1:] for line in ignored if line.startswith("!")}
    ours = {part for part in copied if not part.startswith(("--", "/opt"))}
    assert {part for part in ours if part not in kept and not part.endswith(".sh")} == set()
    assert not any(part.endswith((".env", ".")) for part in kept)


def test_every_setting_that_compose_asks_for_is_in_the_example_and_the_other_way() -> None:
    asked = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text(encoding="utf-8")))
    assert asked == set(example())


def test_every_secret_of_the_example_is_a_placeholder() -> None:
    secret = {name: value for name, value in example().items() if SECRET.search(name)}
    assert len(secret) >= 5
    assert {name for name, value in secret.items() if value and not value.startswith(PLACEHOLDER)} == set()


def test_no_file_gives_a_secret_its_value() -> None:
    """In any form: an assignment, a YAML mapping, or a variable of a container, but by a variable's name."""
    pairs: list[tuple[str, Any]] = []
    for file in DOCKER.rglob("*.yaml"):
        for document in yaml.safe_load_all(file.read_text(encoding="utf-8")):
            pairs += settings(document)
    assert pairs
    assert [(name, value) for name, value in pairs if SECRET.search(name) and not str(value).startswith("${")] == []
    for script in SCRIPTS:
        given = re.findall(r"^\s*(?:export )?(\w+)=([^\s$]\S*)", script.read_text(encoding="utf-8"), re.M)
        assert [name for name, _ in given if SECRET.search(name)] == [], script


def settings(node: Any) -> list[tuple[str, Any]]:
    """The variables of all containers in a document."""
    if isinstance(node, list):
        return [pair for item in node for pair in settings(item)]
    if not isinstance(node, dict):
        return []
    if set(node) == {"name", "value"}:
        return [(node["name"], node["value"])]
    own = [(key, value) for key, value in node.items() if isinstance(value, str) and str(key).isupper()]
    return own + [pair for value in node.values() for pair in settings(value)]


def test_env_file_with_the_secrets_is_ignored_by_git() -> None:
    done = subprocess.run(["git", "check-ignore", "--quiet", "docker/.env"], cwd=ROOT, check=False)
    if done.returncode == 128:
        pytest.skip("This is no git checkout.")
    assert done.returncode == 0


def test_each_service_is_given_no_secret_but_its_own() -> None:
    given = {
        name: {key for key in service["environment"] if SECRET.search(key)} for name, service in services().items()
    }
    assert given["ray-worker"] == given["ray-head"] == {"RAY_AUTH_TOKEN"}  # where trials run
    assert given["postgres"] == {"TOSMOOTH_DB_PASSWORD", "MLFLOW_DB_PASSWORD"}
    assert given["tosmooth"] == {"RAY_AUTH_TOKEN", "TOSMOOTH_DB_PASSWORD", "PGPASSWORD", "MLFLOW_TRACKING_PASSWORD"}
    assert "RAY_AUTH_TOKEN" not in given["mlflow"]


def test_nothing_is_published_beyond_this_machine_unless_told_so() -> None:
    ports = [port for service in services().values() for port in service.get("ports", [])]
    assert len(ports) == 2
    assert all(port.startswith("${PUBLISH:-127.0.0.1}:") for port in ports)
    assert example()["PUBLISH"] == "127.0.0.1"


def test_image_and_lock_are_installed_with_the_same_uv_as_by_make() -> None:
    make = re.search(r"^UV_VERSION := (\S+)", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    script = re.search(r"^UV_VERSION=(\S+)", (DOCKER / "install.sh").read_text(encoding="utf-8"), re.M)
    assert make is not None
    assert script is not None
    assert make[1] == script[1]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_bash_and_shellcheck_find_nothing_in_a_script(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed")
    command = ["shellcheck", "--external-sources", "--source-path", f"{DOCKER}:{ROOT}", str(script)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
