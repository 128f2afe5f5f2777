"""Report of a study for Python: a page that a notebook shows, and that can be saved."""

import html
from dataclasses import dataclass, field
from pathlib import Path

from tosmooth.trainables.errors import require
from tosmooth.trainables.files.atomic_write import write

HEIGHT = 720  # pixels of the page in a notebook


@dataclass(frozen=True, slots=True)
class Report:
    """Page of HTML with all that belongs to it."""

    study: str
    html: str = field(repr=False)

    def save(self, output: str | Path) -> Path:
        """Write the page to a file; returns its path.

        Raises `InputError` unless the file ends in .html or .htm and its folder is there.
        """
        place = Path(output)
        check_place(place, "output")
        write(self.html, place)
        return place

    def _repr_html_(self) -> str:
        """Page in a frame of its own: its styles and scripts stay apart from the notebook's."""
        page = html.escape(self.html, quote=True)
        look = f'width="100%" height="{HEIGHT}" style="border:0"'
        return f'<iframe title="report of {html.escape(self.study)}" {look} srcdoc="{page}"></iframe>'


def check_place(output: Path, key: str) -> None:
    """Raise `InputError` where a page cannot be written to: before it is made, which takes seconds."""
    require(not output.is_dir(), key, str(output), "a file, and this is a folder")
    require(
        output.suffix.lower() in (".html", ".htm"), key, str(output), "a file that ends in .html: a page is written"
    )
    require(output.absolute().parent.is_dir(), key, str(output), "a file in a folder that is there")
