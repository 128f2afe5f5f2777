"""Check that someone listens at an address, before a library is asked that may try for minutes; or that no one does."""

import errno
import socket
from urllib.parse import urlsplit

from tosmooth.trainables.errors import InputError
from tosmooth.trainables.redact import masked

TIMEOUT = 5.0  # seconds
FIRST_PORT, PORTS_TRIED = 5000, 100  # MLflow's own, and how many after it
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433}


def listening(host: str, port: int) -> str | None:
    """Reason why a connection fails, in words; `None` if it is accepted."""
    try:
        socket.create_connection((host, port), timeout=TIMEOUT).close()
    except (OSError, UnicodeError) as error:
        return str(error)
    return None


def free_port(host: str, port: int | None) -> int:
    """Return the port if it can be listened on; where none is named, the first from 5000 on that can.

    Raises `InputError` where there is none, or `host` is no address of this machine.
    """
    for each in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED) if port is None else (port,):
        why = _bound(host, each)
        if why is None:
            return each
    if port is not None:
        raise InputError(f"--port: {why}; leave it out, and the next free one is taken")
    raise InputError(f"--port: none of {FIRST_PORT} to {each} is free; name another")


def _bound(host: str, port: int) -> str | None:
    """Reason why a port cannot be listened on; `None` if it can. Raises `InputError` where no port of the host can."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: what has ended holds none
            probe.bind(address)
            probe.listen()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"{port} is in use"
        if error.errno == errno.EACCES:
            return f"{port} is refused: this user may not listen there"
        raise InputError(f"--host: {host!r} is refused: an address of this machine ({error.strerror})") from None
    return None


def unreachable(url: str) -> str | None:
    """Reason why no one answers at a URL; `None` if someone does, or if it names no host and port that we know of."""
    try:
        parts = urlsplit(url)
        port, host = parts.port or PORTS.get(parts.scheme.split("+")[0]), parts.hostname
    except ValueError:  # a port that is no number, say: who uses the address has a message for it
        return None
    if host is None or port is None or "," in parts.netloc:
        return None
    why = listening(host, port)
    return None if why is None else f"nothing answers at {host}:{port} ({why})"


def check_storage(url: str | None) -> None:
    """Raise `InputError` where no database answers."""
    if url is not None and (why := unreachable(url)) is not None:
        raise InputError(f"storage: {masked(url)!r} is refused: {why}; start the database, or check the address")
