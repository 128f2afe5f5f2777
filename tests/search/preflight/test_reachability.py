"""A port that is taken is refused; without one the next free one is found."""

import socket
from collections.abc import Iterator

import pytest

from tosmooth.search.preflight import reachability
from tosmooth.search.preflight.reachability import free_port
from tosmooth.trainables.errors import InputError


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A port that is in use, the first of those that are tried."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        monkeypatch.setattr(reachability, "FIRST_PORT", port)
        yield port


def test_a_port_that_is_taken_is_refused_and_the_next_free_one_is_found(taken: int) -> None:
    with pytest.raises(InputError, match=rf"^--port: {taken} is in use"):
        free_port("127.0.0.1", taken)
    found = free_port("127.0.0.1", None)
    assert taken < found < taken + 100
    assert free_port("localhost", found) == found


def test_no_port_is_free(taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachability, "PORTS_TRIED", 1)
    with pytest.raises(InputError, match=rf"^--port: none of {taken} to {taken} is free"):
        free_port("127.0.0.1", None)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_not_this_machine_is_refused(host: str) -> None:
    with pytest.raises(InputError, match=rf"^--host: '{host}' is refused"):
        free_port(host, None)
