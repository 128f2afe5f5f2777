"""Files that the repository's host and readers of citations take: they fit their schemas, and say one version."""

import subprocess
import sys
import tomllib

import pytest
import yaml

from tests.conftest import ROOT

HOST = ROOT / ".github"
SCHEMAS = {
    "vendor.citation-file-format": [ROOT / "CITATION.cff"],
    "vendor.github-workflows": sorted((HOST / "workflows").glob("*.yml")),
    "custom.github-workflows-require-timeout": sorted((HOST / "workflows").glob("*.yml")),
    "vendor.github-issue-config": [HOST / "ISSUE_TEMPLATE" / "config.yml"],
    "vendor.github-issue-forms": [
        file for file in sorted((HOST / "ISSUE_TEMPLATE").glob("*.yml")) if file.stem != "config"
    ],
}


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_files_fit_their_schema(schema: str) -> None:
    files = SCHEMAS[schema]
    assert files
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, "--force-filetype", "yaml"]
    done = subprocess.run([*command, *map(str, files)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_version_and_licence_are_said_alike() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["version"], citation["license"]) == (project["version"], project["license"])
    assert [author["name"] for author in citation["authors"]] == [author["name"] for author in project["authors"]]
    assert f"\n## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_a_release_is_made_by_a_tag_alone_and_without_a_secret() -> None:
    text = (HOST / "workflows" / "release.yml").read_text(encoding="utf-8")
    release = yaml.safe_load(text)
    assert release[True] == {"push": {"tags": ["v*"]}}  # to YAML 1.1 `on` is true
    build, publish = release["jobs"]["build"], release["jobs"]["publish"]
    assert publish["needs"] == "build"
    assert publish["permissions"] == {"id-token": "write"}
    assert "permissions" not in build
    assert release["permissions"] == {"contents": "read"}
    assert "secrets." not in text


def test_actions_are_pinned_by_their_versions() -> None:
    used = [
        step["uses"]
        for file in SCHEMAS["vendor.github-workflows"]
        for job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].values()
        for step in job["steps"]
        if "uses" in step
    ]
    assert used
    assert [action for action in used if not action.partition("@v")[2][:1].isdigit()] == []
