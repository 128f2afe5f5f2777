"""What all tests share: a quiet environment, and the real data where there is some."""

import os
from pathlib import Path

import pytest

# Before any library is imported, so that Ray's workers and other processes inherit it.
os.environ |= {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MPLBACKEND": "Agg",
    "OMP_NUM_THREADS": "1",  # one thread of torch per process: more threads than cores collapse
    "RAY_USAGE_STATS_ENABLED": "0",
}
for _name in [name for name in os.environ if name.startswith("TOSMOOTH_") and name != "TOSMOOTH_TEST_DATA"]:
    del os.environ[_name]  # no test may write into the home of whoever runs it, nor to their database

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder with CIFAR images and human labels: TOSMOOTH_TEST_DATA, or ../shared/data beside the repository."""
    named = os.environ.get("TOSMOOTH_TEST_DATA")
    if named and not Path(named).is_dir():
        pytest.fail(f"TOSMOOTH_TEST_DATA names {named!r}, which is not a folder.")
    folder = Path(named) if named else ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("There is no real data here; TOSMOOTH_TEST_DATA can name a folder with CIFAR and CIFAR-N.")
    return folder.resolve()
