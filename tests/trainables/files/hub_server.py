"""A hub on this machine: repositories in folders, by the part of the hub's protocol that its libraries read with."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

GATED, FORBIDDEN = "someone/gated", 403
WAY = re.compile(r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree|paths-info|auth-check)(?:/([^/]+))?(?:/(.*))?)?")
FILE = re.compile(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)")


class Hub(ThreadingHTTPServer):
    """Serves the folders OWNER/NAME below `root`, each at one commit, `main`; `asked` are the requests."""

    daemon_threads = True

    def __init__(self, root: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        """What HF_ENDPOINT says."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def files(self, name: str) -> dict[str, Path]:
        """Files of a repository by their names."""
        folder = self.root / name
        return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}

    def commit(self, name: str) -> str:
        """Digest of what is there, as long as a commit of git."""
        digest = hashlib.sha1(usedforsecurity=False)
        for file, path in self.files(name).items():
            digest.update(file.encode() + path.read_bytes())
        return digest.hexdigest()


@contextmanager
def serving(root: Path) -> Iterator[Hub]:
    """Serve while the block runs."""
    with Hub(root) as hub:
        thread = threading.Thread(target=hub.serve_forever)
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *values: object) -> None:
        self.server.asked.append(f"{self.command} {self.path}")

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        path = unquote(urlsplit(self.path).path)
        if (file := FILE.fullmatch(path)) is not None:
            self._file(*file.groups())
        elif (way := WAY.fullmatch(path)) is not None:
            self._api(way, body)
        else:
            self._error(404, "EntryNotFound")

    def _known(self, name: str, revision: str | None) -> bool:
        if not (self.server.root / name).is_dir():
            self._error(401, "RepoNotFound")
        elif revision not in (None, "main", self.server.commit(name)):
            self._error(404, "RevisionNotFound")
        else:
            return True
        return False

    def _api(self, way: re.Match[str], body: str) -> None:
        name, what, revision, below = way.groups()
        if not self._known(name, revision):
            return
        files = self.server.files(name)
        if what == "auth-check":
            self._error(FORBIDDEN, "GatedRepo") if name == GATED else self._json({})
        elif what == "tree":
            self._tree(files, below or "", "recursive=true" in self.path.lower())
        elif what == "paths-info":
            wanted = parse_qs(body).get("paths", []) or json.loads(body or "{}").get("paths", [])
            folders = {str(parent) for file in files for parent in Path(file).parents}
            found: list[dict[str, object]] = [_entry(file, files[file]) for file in wanted if file in files]
            self._json(found + [{"type": "directory", "path": f, "oid": "0" * 40} for f in wanted if f in folders])
        else:
            siblings = [{"rfilename": file} for file in files]
            about = {"id": name, "sha": self.server.commit(name), "private": False, "gated": False, "disabled": False}
            self._json({**about, "siblings": siblings, "tags": [], "downloads": 0, "likes": 0})

    def _tree(self, files: dict[str, Path], below: str, recursive: bool) -> None:
        """What is in a folder: its files and folders, or with `recursive` those of its folders as well."""
        inside = {file: path for file, path in files.items() if Path(file).is_relative_to(below)}
        folders = {str(parent) for file in inside for parent in Path(file).parents}
        folders = {each for each in folders if each != below and Path(each).is_relative_to(below)} - {"."}
        found = [_entry(file, path) for file, path in inside.items()]
        found += [{"type": "directory", "path": each, "oid": "0" * 40} for each in sorted(folders)]
        here = [each for each in found if recursive or str(Path(str(each["path"])).parent) == (below or ".")]
        self._json(here) if here else self._error(404, "EntryNotFound")

    def _file(self, name: str, revision: str, file: str) -> None:
        if not self._known(name, revision):
            return
        path = self.server.files(name).get(file)
        if path is None:
            self._error(404, "EntryNotFound")
            return
        content = path.read_bytes()
        begin, end = 0, len(content)
        if (asked := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))) is not None:
            begin, end = int(asked[1]), int(asked[2]) + 1 if asked[2] else end
        etag = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        head = {"ETag": f'"{etag}"', "X-Repo-Commit": self.server.commit(name), "Accept-Ranges": "bytes"}
        self._send(206 if asked else 200, content[begin:end], head)

    def _json(self, answer: object) -> None:
        self._send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def _error(self, status: int, code: str) -> None:
        self._send(status, b"", {"X-Error-Code": code, "X-Error-Message": code})

    def _send(self, status: int, content: bytes, head: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**head, "Content-Length": str(len(content))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _entry(file: str, path: Path) -> dict[str, object]:
    digest = hashlib.sha1(path.read_bytes(), usedforsecurity=False).hexdigest()
    return {"type": "file", "path": file, "size": path.stat().st_size, "oid": digest}
