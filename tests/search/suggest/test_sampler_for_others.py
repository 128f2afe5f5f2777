"""How others come by the sampler: the package for OptunaHub. A test runs the example of docs/howto/, too."""

import importlib.util
import runpy
import sys
from pathlib import Path
from types import ModuleType

import optuna
import pytest
import yaml

from tests.conftest import ROOT


class Hub:
    """OptunaHub's loader as far as its registry is a folder: its package `optunahub` is no dependency of ours."""

    def load_local_module(self, package: str, registry_root: str) -> ModuleType:
        file = Path(registry_root) / package / "__init__.py"
        spec = importlib.util.spec_from_file_location("tosmooth_posterior", file)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module


def test_package_for_optunahub_loads_and_its_example_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    registry = ROOT / "docs" / "optunahub" / "package"
    package = registry / "samplers" / "tosmooth_posterior"
    if importlib.util.find_spec("optunahub") is None:
        monkeypatch.setitem(sys.modules, "optunahub", Hub())
    monkeypatch.chdir(registry.parent)
    runpy.run_path(str(package / "example.py"), run_name="__main__")
    assert "best" in capsys.readouterr().out
    _, front, text = (package / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    about = yaml.safe_load(front)
    assert about.keys() == {"author", "title", "description", "tags", "optuna_versions", "license"}
    assert "sampler" in about["tags"]
    assert optuna.__version__ in about["optuna_versions"]
    for heading in ("Abstract", "Class or Function Names", "Installation", "Example"):
        assert f"\n## {heading}\n" in text
    assert (package / "LICENSE").read_text(encoding="utf-8").startswith(about["license"])
