"""Whether anyone listens at an address: asked before a library is, which may try for minutes."""

import socket
from urllib.parse import urlsplit

from trainables.config import InputError
from trainables.masking import masked

TIMEOUT = 5.0  # seconds
PORTS = {"http": 80, "https": 443, "postgresql": 5432, "mysql": 3306, "mariadb": 3306, "mssql": 1433}


def listening(host: str, port: int) -> str | None:
    """Why a connection fails, in words; `None` where one is taken."""
    try:
        socket.create_connection((host, port), timeout=TIMEOUT).close()
    except (OSError, UnicodeError) as error:
        return str(error)
    return None


def unreachable(url: str) -> str | None:
    """Why no one answers at a URL; `None` where someone does, or where it names no host and port that we know of."""
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
