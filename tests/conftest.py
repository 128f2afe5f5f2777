"""What all tests share: a quiet environment, and the real data where there is some."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from tests.browser import open_browser

# Before any library is imported, so that Ray's workers and other processes inherit it.
os.environ |= {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MPLBACKEND": "Agg",
    "OMP_NUM_THREADS": "1",  # one thread of torch per process: more threads than cores collapse
    "RAY_USAGE_STATS_ENABLED": "0",
}
_OTHERS = ("RAY_ADDRESS", "COLUMNS", "NO_COLOR", "FORCE_COLOR", "PYTHONIOENCODING")
for _name in [name for name in os.environ if name.startswith(("TOSMOOTH_", "MLFLOW_")) or name in _OTHERS]:
    if _name not in ("TOSMOOTH_TEST_DATA", "MLFLOW_DISABLE_TELEMETRY"):
        del os.environ[_name]  # no test may write into the home of whoever runs it, nor to their database or MLflow

ROOT = Path(__file__).resolve().parents[1]
# Files of slow tests that take longest: what begins last is waited for alone.
FIRST = [f"test_{name}" for name in ("twonorm", "commands", "mlflow", "kills", "runner", "tutorials", "homes")]


@pytest.hookimpl(tryfirst=True)  # before pytest looks at `slow`, and pytest-xdist at the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have one of pytest-xdist's processes run all tests that start Ray: side by side they starve each other.

    What decodes all pictures of CIFAR is slow. Files that take longest come first.
    """
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if item.get_closest_marker("ray") or "finished" in fixtures:
            item.add_marker(pytest.mark.xdist_group("ray"))
        if "real_data" in fixtures:
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: FIRST.index(item.path.stem) if item.path.stem in FIRST else len(FIRST))


@pytest.fixture(autouse=True)
def _databases_of_mlflow_are_closed() -> Iterator[None]:
    """Close MLflow's connections: pytest gives a passed test's folder to another, which would read the old one's."""
    yield
    store = sys.modules.get("mlflow.store.tracking.sqlalchemy_store")
    for engine in list(store.SqlAlchemyStore._engine_map.values()) if store else ():
        if engine.pool.checkedin():
            engine.dispose()


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


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser with a new profile; see `tests.browser`. Skips where there is none."""
    with open_browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened
