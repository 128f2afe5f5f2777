"""`tosmooth ui` in a real browser: MLflow's pages tell the answer of a study, without a click."""

import csv
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from selenium.common.exceptions import StaleElementReferenceException, WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement

from tests.browser import PATIENCE, complaints
from tests.search.conftest import Command, Finished
from tests.search.tools import TINY, start, tosmooth
from tests.tools import free_port, wait_for

LEVELS = ("clean", *(f"symmetric-0.{i}" for i in range(1, 5)))
# MLflow 3.17 asks for the user where no one logs in, and is told so by its own server; and how its lists are drawn.
MLFLOWS_OWN = ("users/current", "ResizeObserver")


@dataclass(frozen=True)
class Shown:
    """A finished study of five levels, and the address that `tosmooth ui STUDY` printed while it serves it."""

    home: Path
    page: str
    rows: dict[str, dict[str, str]]  # of best_rates.csv, by level


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    folder = tmp_path_factory.mktemp("shown")
    (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
    levels = f"dataset.noise=[{','.join(LEVELS)}]"
    run = tosmooth("run", "tiny.yaml", "--home", "home", "--set", levels, "--set", "confirmation.seeds=3", cwd=folder)
    assert run.returncode == 0, run.stderr
    assert "MLflow: tosmooth ui tiny --home home" in run.stderr
    with (folder / "home/studies/tiny/best_rates.csv").open(encoding="utf-8") as file:
        rows = {row["noise"]: row for row in csv.DictReader(file)}
    with start("ui", "tiny", "--home", "home", "--port", str(free_port()), cwd=folder) as process:
        try:
            assert process.stderr is not None
            page = re.findall(r"MLflow: (\S+)", process.stderr.readline())[0]
            while "Application startup complete" not in process.stderr.readline():
                assert process.poll() is None
            yield Shown(folder / "home", page, rows)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def element(browser: Chrome, selector: str) -> WebElement:
    """The first element there is, once there is one."""
    found: list[WebElement] = []

    def there() -> bool:
        found[:] = browser.find_elements(By.CSS_SELECTOR, selector)
        return bool(found)

    wait_for(selector, there, PATIENCE)
    return found[0]


def texts(browser: Chrome, selector: str) -> list[str]:
    """What the elements say, whatever happens to them meanwhile."""
    try:
        return [each.text for each in browser.find_elements(By.CSS_SELECTOR, selector)]
    except (StaleElementReferenceException, WebDriverException):
        return []


def opened(browser: Chrome, page: str) -> None:
    """A page, from nothing: MLflow would take an address that differs behind "#" alone for its own."""
    browser.get("about:blank")
    browser.get(page)


def ours(browser: Chrome) -> list[str]:
    return [words for words in complaints(browser) if not any(known in words for known in MLFLOWS_OWN)]


def cells(browser: Chrome, column: str) -> list[str]:
    return texts(browser, f".ag-cell[col-id='metrics.`{column}`']")


pytestmark = [pytest.mark.slow, pytest.mark.ray]


def test_five_best_rates_and_gains_are_read_off_the_page_that_ui_names(shown: Shown, browser: Chrome) -> None:
    opened(browser, shown.page)
    wait_for("five rows", lambda: len(cells(browser, "best_rate")) == 5, PATIENCE)
    assert texts(browser, ".ag-cell a") == list(LEVELS)  # by noise
    for column in ("best_rate", "gain_over_ce"):
        for level, text in zip(LEVELS, cells(browser, column), strict=True):
            value = shown.rows[level][column]  # no gain where cross-entropy is the best
            assert text == "-" if value == "" else float(text) == pytest.approx(float(value), abs=0.005), level
    assert sum(shown.rows[level]["gain_over_ce"] != "" for level in LEVELS) >= 2
    assert ours(browser) == []


def test_experiment_s_description_has_the_table_and_a_picture(shown: Shown, browser: Chrome) -> None:
    opened(browser, shown.page)
    element(browser, "[data-component-id='mlflow.experiment.metadata_editor.expand_button']").click()
    wait_for("the table", lambda: len(texts(browser, "table td")) >= 5 * 9, PATIENCE)
    table = texts(browser, "table td")
    for level in LEVELS:
        row = [text.strip() for text in table[table.index(level) :][:9]]
        assert row[2].startswith(f"{float(shown.rows[level]['best_rate']):.2f}"), row
        gain = shown.rows[level]["gain_over_ce"]
        assert row[7].startswith(f"{float(gain):+.2f}" if gain else "-"), row
    assert is_drawn(browser, "twonorm-rate-over-noise.png")
    assert "tosmooth run tiny.yaml --home home" in element(browser, "pre code").text
    assert ours(browser) == []


def test_row_s_run_tells_its_answer_with_its_picture(shown: Shown, browser: Chrome) -> None:
    opened(browser, shown.page)
    wait_for("its row", lambda: bool(browser.find_elements(By.LINK_TEXT, "symmetric-0.4")), PATIENCE)
    opened(browser, str(browser.find_element(By.LINK_TEXT, "symmetric-0.4").get_attribute("href")))
    wait_for("its words", lambda: any("symmetric-0.4: " in text for text in texts(browser, "strong")), PATIENCE)
    assert is_drawn(browser, "twonorm-symmetric-0.4-gls-accuracy-over-rate.png")
    assert ours(browser) == []


def test_second_view_compares_the_trials_coloured_by_level(shown: Shown, browser: Chrome) -> None:
    opened(browser, shown.page)
    element(browser, "[data-component-id='mlflow.experiment.metadata_editor.expand_button']").click()
    opened(browser, str(element(browser, "a[href*='tosmooth-trials']").get_attribute("href")))
    points = ".scatterlayer .point"
    wait_for("5 x 4 trials of the search", lambda: len(browser.find_elements(By.CSS_SELECTOR, points)) == 20, PATIENCE)
    colours = {each.value_of_css_property("fill") for each in browser.find_elements(By.CSS_SELECTOR, points)}
    assert len(colours) == 5
    titles = texts(browser, ".xtitle, .ytitle")
    assert ("rate" in titles, "val_accuracy" in titles) == (True, True)
    assert ours(browser) == []


def is_drawn(browser: Chrome, name: str) -> bool:
    """Whether a picture on the page came from the server, and is one."""
    picture = element(browser, f"img[src*='{name}']")
    wait_for(name, lambda: bool(picture.get_attribute("naturalWidth") not in (None, "0")), PATIENCE)
    return True


def test_study_without_an_experiment_is_told_apart_from_one_that_is_unknown(
    finished: Finished, command: Command, tmp_path: Path
) -> None:
    code, _, err = command("ui", "tinny", "--home", finished.home)
    assert (code, "study 'tinny' is not in the home" in err, "did you mean 'tiny'?" in err) == (2, True, True)
    uri = f"sqlite:///{tmp_path / 'other.db'}"
    code, _, err = command("ui", "tiny", "--home", finished.home, "--tracking-uri", uri)
    assert (code, "study 'tiny': MLflow has no experiment of this study: `tosmooth run` brings it" in err) == (2, True)
    away = f"http://me:hunter2@127.0.0.1:{free_port()}"
    code, _, err = command("ui", "tiny", "--home", finished.home, "--tracking-uri", away)
    assert (code, "--tracking-uri: MLflow does not answer: " in err, "hunter2" in err) == (2, True, False)


def test_server_s_page_of_a_study_is_named(shown: Shown, command: Command) -> None:
    server = shown.page.partition("#")[0]
    code, out, err = command("ui", "tiny", "--home", shown.home, "--tracking-uri", server)
    # The server is that of another home for all it knows: its experiment of this name is not this home's.
    assert (code, out) == (2, ""), err
    assert "MLflow has no experiment of this study" in err
