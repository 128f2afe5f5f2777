"""Links to files of the repository that are no page: they lead to the git host, as they do in a checkout."""

from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

log = logging.getLogger(__name__)
BRANCH = "main"


class RepositoryLinks(SphinxTransform):
    """Transform of relative links that lead out of docs/, or to a folder: `../../tests/browser.py`."""

    default_priority = 5  # before Sphinx takes such links for downloads, or for names that it does not know

    def apply(self, **_: Any) -> None:
        """Replace each link to what is in the repository. MyST warns of what is nowhere."""
        docs = Path(self.env.srcdir).resolve()
        for link in [*self.document.findall(addnodes.download_reference), *self.document.findall(_of_markdown)]:
            target, _hash, anchor = _target(link)
            path = (Path(self.env.doc2path(self.env.docname)).parent / target).resolve()
            if not target or not path.exists() or (path.is_relative_to(docs) and not path.is_dir()):
                continue  # a page, an anchor, a name, or a file of docs/ that is downloaded
            if not path.is_relative_to(docs.parent):
                log.warning("%s is outside the repository", target, location=link, type="repository", subtype="outside")
                continue
            link.replace_self(self._to_host(link, path, path.relative_to(docs.parent).as_posix(), anchor))

    def _to_host(self, link: nodes.Element, path: Path, name: str, anchor: str) -> nodes.Node:
        text = link.children or [nodes.literal(name, name)]
        host = self.config.repository_url
        if not host:
            return nodes.inline("", "", *text)
        kind = "tree" if path.is_dir() else "blob"
        address = f"{host}/{kind}/{BRANCH}/{name}" + (f"#{anchor}" if anchor else "")
        return nodes.reference("", "", *text, refuri=address)


def _of_markdown(node: nodes.Node) -> bool:
    """True for a link of Markdown to a page, or to something that is not known."""
    return isinstance(node, addnodes.pending_xref) and node["reftype"] == "myst"


def _target(link: nodes.Element) -> tuple[str, str, str]:
    """Path that a link leads to, "#", and the anchor there."""
    if link["refdomain"] != "doc":
        target: tuple[str, str, str] = link["reftarget"].partition("#")
        return target
    # A page; of one outside docs/ MyST gives the absolute path, without its suffix.
    outside = link["reftarget"].startswith("/")
    return f"{link['reftarget']}.md" if outside else "", "#", link.get("reftargetid") or ""


def setup(app: Sphinx) -> None:
    """Register the transform and its setting."""
    app.add_config_value("repository_url", None, "env", (str, type(None)))
    app.add_transform(RepositoryLinks)
