"""A real MLflow server on 127.0.0.1, and a proxy before it that breaks what passes through, as networks do."""

import contextlib
import http.client
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

from tests.tools import free_port, wait_for

# What a request meets. "fail": an error 500, and the server never sees it. "cut": the server does what is asked, and
# the connection is reset in the middle of its answer. "hang": it is taken, and never answered.
Fate = Literal["pass", "fail", "cut", "hang"]
HOP = {"connection", "keep-alive", "transfer-encoding", "date", "server"}  # headers that the proxy sets itself


class MlflowServer:
    """`mlflow server` with a database and artifacts of its own."""

    def __init__(self, folder: Path) -> None:
        self.port, self._log = free_port(), folder / "server.log"
        self.url = f"http://127.0.0.1:{self.port}"
        place = ("--host", "127.0.0.1", "--port", str(self.port), "--workers", "1")
        store = ("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--serve-artifacts")
        artifacts = ("--artifacts-destination", (folder / "artifacts").as_uri())
        self._command = [sys.executable, "-m", "mlflow", "server", *place, *store, *artifacts]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                env=os.environ | quiet,
                cwd=self._log.parent,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for("the server's first answer", self._answers)

    def signal(self, number: signal.Signals) -> None:
        """SIGSTOP, SIGCONT, SIGTERM: to the server and its workers, which are a group of their own."""
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        self._process.wait()

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/health", timeout=5):  # noqa: S310
            return True
        return False


class Proxy(ThreadingHTTPServer):
    """Passes requests on to the server at port `target`, each as `fate` says, which is told the method and the path."""

    def __init__(self, target: int, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.target = target
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.fate: Callable[[str], Fate] = lambda request: "pass"
        self.seconds = 0.0  # for which every answer is kept back
        self.met: Counter[Fate] = Counter()  # how many requests met which fate
        self.released = threading.Event()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def draw(self, request: str) -> Fate:
        """One request at a time asks for its fate."""
        with self.lock:
            fate = self.fate(request)
            self.met[fate] += 1
            return fate

    def release(self) -> None:
        """Reset what hangs; from now on everything passes."""
        self.released.set()
        self.fate, self.released = lambda request: "pass", threading.Event()

    def close(self) -> None:
        self.release()
        self.shutdown()
        self.server_close()

    def shutdown_request(self, request: Any) -> None:
        request.close()  # no orderly end, which would be in the way of a reset

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Either side went away, as it should."""


class _Handler(BaseHTTPRequestHandler):
    server: Proxy
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fate = self.server.draw(f"{self.command} {self.path.partition('?')[0]}")
        if fate == "hang":
            self.server.released.wait()
            self._reset()
        elif fate == "fail":
            self._answer(500, [("Content-Type", "text/html")], b"<h1>Internal Server Error</h1>")
        else:
            status, headers, answer = self._ask(body)
            time.sleep(self.server.seconds)
            self._answer(status, headers, answer, whole=fate == "pass")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """What the server answers, however long it takes; where it is away, the connection is reset."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP | {"host"}}
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        except (OSError, http.client.HTTPException):
            self._reset()
            raise
        finally:
            connection.close()

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, whole: bool = True) -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in HOP | {"content-length"}:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) + (not whole)))  # an empty answer can be cut, too
        self.end_headers()
        self.wfile.write(body if whole else body[: len(body) // 2])
        if not whole:
            self._reset()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: pytest shows what matters."""
