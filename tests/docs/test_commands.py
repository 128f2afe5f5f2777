"""Commands of the documentation, run as they stand: the marked blocks of each page, in one new folder.

docs/development/writing-docs.md says how blocks are marked.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.docs.pages import Block, MarkError, blocks, pages, shows, steps

BIN = Path(sys.executable).parent
OWN = ("TOSMOOTH_", "MLFLOW_", "XDG_", "RAY_", "PYTEST_", "OMP_")  # settings that a reader does not have
COMMANDS = {"sh": ("bash", "-euo", "pipefail", "-c"), "python": ("python", "-c")}


def read(page: Path) -> list[Block]:
    return blocks(page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix())


def collected() -> list[Any]:
    """A test for each page with something to run; slow where a block says so."""
    found = []
    for page in pages(ROOT):
        there = read(page)
        if any(block.kind == "run" for block in there):
            marks = [pytest.mark.slow] if any(block.slow for block in there) else []
            found.append(pytest.param(page, id=page.relative_to(ROOT).as_posix(), marks=marks))
    return found


def environment(home: Path) -> dict[str, str]:
    """The environment of a reader: a home of their own, the command on the path, none of our settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(OWN)}
    return {**kept, "HOME": str(home), "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}


def execute(block: Block, folder: Path, home: Path) -> str:
    """Run a block to its end; returns what it printed."""
    running = subprocess.Popen(
        [*COMMANDS[block.language], block.code],
        cwd=folder,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        printed, _ = running.communicate()
    except BaseException:  # pytest's limit of time, Ctrl-C
        os.killpg(running.pid, signal.SIGKILL)
        raise
    if running.returncode != block.status:
        ended = f"{block.where}: ended with {running.returncode}, not {block.status}:\n{block.code}"
        pytest.fail(f"{ended}\nIt printed:\n{printed}", pytrace=False)
    return printed


@pytest.mark.ray
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", collected())
def test_commands_of_the_page_do_what_it_says(page: Path, tmp_path: Path) -> None:
    folder, home = tmp_path / "work", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    for block, outputs in steps(read(page)):
        if block.kind == "file":
            file = folder / block.file
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block.code, encoding="utf-8")
            continue
        printed = execute(block, folder, home)
        for output in outputs:
            if not shows(output, printed):
                pytest.fail(f"{output.where}: shows\n{output.code}\nbut this was printed:\n{printed}", pytrace=False)


def test_every_command_of_the_documentation_says_whether_it_is_run() -> None:
    unmarked = [
        block.where for page in pages(ROOT) for block in read(page) if block.language == "sh" and not block.kind
    ]
    assert unmarked == [], "each needs <!-- run --> or <!-- not run: why -->"


PAGE = """
Text with `<!-- run -->` in it.

<!-- cifar-n -->

<!-- setup
echo a > a.txt
-->

<!-- run: slow, exit 3 -->
```sh
exit 3
```

1. An item

   <!-- file: b/c.yaml -->
   ```yaml
   name: c
   ```

<!-- run -->
```python
x = 1
```

<!-- output -->
```text
1
```

<!-- run: continued -->

```python
print(x)
```

<!-- not run: needs a cluster -->
```sh
sbatch
```

```sh
unmarked
```
"""


def test_a_page_is_read_as_its_marks_say() -> None:
    assert blocks(PAGE, "p.md") == [
        Block("p.md:6", "sh", "\necho a > a.txt\n", "setup"),
        Block("p.md:11", "sh", "exit 3\n", "run", status=3, slow=True),
        Block("p.md:18", "yaml", "name: c\n", "file", file="b/c.yaml"),
        Block("p.md:23", "python", "x = 1\n", "run"),
        Block("p.md:28", "text", "1\n", "output"),
        Block("p.md:34", "python", "print(x)\n", "run", joins=True),
        Block("p.md:39", "sh", "sbatch\n", "not run"),
        Block("p.md:43", "sh", "unmarked\n"),
    ]
    done = [(block.kind, block.code, len(outputs)) for block, outputs in steps(blocks(PAGE, "p.md"))]
    assert done == [
        ("setup", "\necho a > a.txt\n", 0),
        ("run", "exit 3\n", 0),
        ("file", "name: c\n", 0),
        ("run", "x = 1\n\nprint(x)\n", 1),
    ]


@pytest.mark.parametrize(
    ("page", "why"),
    [
        ("<!-- run -->\n\ntext\n\n```sh\na\n```", r"p.md:1: no code block follows '<!-- run -->'"),
        ("<!-- run -->", r"p.md:1: no code block follows"),
        ("<!-- run: fast -->\n```sh\na\n```", r"p.md:2: 'fast' is no option of a run of 'sh'"),
        ("<!-- run: continued -->\n```sh\na\n```", r"p.md:2: 'continued' is no option of a run of 'sh'"),
        ("<!-- run -->\n```yaml\na: 1\n```", r"p.md:2: 'yaml' cannot be run"),
        ("<!-- run slow -->\n```sh\na\n```", r"p.md:2: a colon stands between 'run' and 'slow'"),
        ("<!-- file -->\n```yaml\na: 1\n```", r"p.md:2: 'file' needs a name"),
        ("<!-- not run -->\n```sh\na\n```", r"p.md:2: 'not run' needs a reason"),
        ("<!-- output: any -->\n```text\na\n```", r"p.md:2: 'any' is no option of 'output'"),
        ("<!-- output -->\n```text\na\n```", r"p.md:2: there is no run right before it"),
        (
            "<!-- run -->\n```sh\na\n```\n\n<!-- run: continued -->\n```python\na\n```",
            r"p.md:7: the run .* is not of Python",
        ),
    ],
)
def test_a_mark_that_cannot_be_followed_is_named(page: str, why: str) -> None:
    with pytest.raises(MarkError, match=why):
        list(steps(blocks(page, "p.md")))


@pytest.mark.parametrize(
    ("shown", "vary", "same"),
    [
        ("a  1.5\n───\nb 2", False, True),
        ("b 2\n...\nend", False, True),
        ("b ...\nc ... % ...", False, True),
        ("b ... ±0.1", False, False),
        ("a 1.5\nend", False, False),
        ("a 1.4", False, False),
        ("a -7 [1, 2]\n──\nb 0", True, True),
        ("c -7", True, False),
        ("end\n...\nb 2", False, False),
    ],
)
def test_output_is_what_was_printed_in_its_order(shown: str, vary: bool, same: bool) -> None:
    printed = "before\na   1.5\n───\n\nb 2\nc +3 % ±0.1\n\nend\n"
    assert shows(Block("p.md:1", "text", shown, "output", vary=vary), printed) is same
