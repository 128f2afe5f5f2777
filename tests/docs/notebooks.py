"""Runs a notebook of the documentation (MyST Markdown or .ipynb) cell by cell in IPython, without a kernel.

    python tests/docs/notebooks.py PAGE    in the folder where the page's files shall lie

It writes to outputs.json what each cell printed and the kinds of what it showed, such as image/png. It ends at the
first cell that fails, as a build of the site does.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

OUTPUTS = "outputs.json"
_CELL = re.compile(r"^```\{code-cell\}[^\n]*\n(?P<options>(?::[^\n]*\n)*)\n?(?P<code>.*?)^```$", re.M | re.S)


def cells(page: Path) -> list[str]:
    """List the code of a page's cells, in their order."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        return ["".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    return [found["code"] for found in _CELL.finditer(text)]


class _Results(DisplayHook):
    """The result of a cell's last line, shown as all else that it shows."""

    def write_output_prompt(self) -> None:
        """Write no number of a cell."""

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        """Publish the result in all its forms, and print it as text."""
        shell: Any = self.shell
        shell.display_pub.publish(format_dict, md_dict)
        print(format_dict.get("text/plain", ""))


class _Shell(InteractiveShell):
    """IPython with neither a terminal nor a kernel."""

    displayhook_class = _Results

    def enable_gui(self, gui: Any = None) -> None:
        """Do nothing: pictures are shown in the page."""


def _run(page: Path) -> None:
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # has `tosmooth`
    os.environ["MPLBACKEND"] = "module://matplotlib_inline.backend_inline"  # as a kernel has it
    os.environ["IPYTHONDIR"] = str(Path.cwd() / ".ipython")  # nothing of the user's
    sys.path.insert(0, "")  # as a kernel has it: modules of the folder
    shell: Any = _Shell.instance()
    shell.colors = "nocolor"
    found: list[dict[str, Any]] = []
    for code in cells(page):
        with capture_output() as said:
            done = shell.run_cell(code, store_history=True)  # a line that ends in ";" shows nothing
        shown = sorted({kind for output in said.outputs for kind in (output.data or {})})
        found.append({"code": code, "printed": said.stdout + said.stderr, "shown": shown})
        Path(OUTPUTS).write_text(json.dumps(found), encoding="utf-8")
        print(said.stdout, said.stderr, sep="\n")
        if not done.success:
            sys.exit(f"{page.name}: this cell failed:\n{code}")


if __name__ == "__main__":
    _run(Path(sys.argv[1]).resolve())
