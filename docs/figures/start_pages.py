"""Photographs the pictures of docs/start/ beside itself: the report of the study `digits`, and its rows in MLflow.

tosmooth run digits --home build/first
tosmooth ui digits --home build/first &     # which prints the page
.venv/bin/python -m docs.figures.start_pages build/first PAGE
"""

import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.browser import open_browser

FOLDER = Path(__file__).parent
CLOSED = (
    "mlflow.assistant.chat_panel.close",
    "mlflow.experiment_page.shared_view.dismiss",
)  # MLflow's names of buttons
COLOURS = 128  # enough for a page, and a third of the bytes


def photograph(browser: Chrome, name: str, width: int, height: int, heading: str = "") -> None:
    """Keep what a window of that size shows of the page, from a heading on."""
    browser.set_window_size(width, height)
    if heading:
        found = browser.find_element(By.XPATH, f"//*[self::h2 or self::h3][normalize-space()='{heading}']")
        browser.execute_script("arguments[0].scrollIntoView()", found)
    time.sleep(3)  # charts are drawn
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    picture.quantize(COLOURS).save(FOLDER / name, optimize=True)


def main(home: Path, page: str) -> None:
    with tempfile.TemporaryDirectory() as profile, open_browser(Path(profile)) as browser:
        browser.get((home / "studies/digits/report.html").resolve().as_uri())
        photograph(browser, "report-answer.png", 1000, 1150)
        photograph(browser, "report-level.png", 1000, 1200, "symmetric-0.2")
        browser.get(page)
        browser.set_window_size(1400, 900)
        time.sleep(40)  # MLflow's page asks its server for everything
        for name in CLOSED:
            browser.find_element(By.CSS_SELECTOR, f"[data-component-id='{name}']").click()
        photograph(browser, "mlflow-digits.png", 1400, 720)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
