"""The notebook of the documentation, run from its first cell to its last."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

NOTEBOOK = ROOT / "docs" / "python.ipynb"


@pytest.mark.slow
@pytest.mark.ray
def test_the_notebook_of_the_documentation_runs(tmp_path: Path) -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in cells), "outputs are of one machine: clear them"
    shown = [f"{part}._repr_html_()" if part == "result" else part for part in code]
    (tmp_path / "notebook.py").write_text("\n\n".join(shown), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "notebook.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "cross-entropy" in done.stdout
    right = done.stdout.split()[-3]
    assert float(right) > 60, "a linear model tells three blobs apart"
