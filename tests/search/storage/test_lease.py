"""One driver at a time has a study of a database, from whichever home: a real database, several processes."""

import socket
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest

from tests.tools import wait_for
from tosmooth.search.storage import lease as module
from tosmooth.search.storage.lease import LEASE, lease
from tosmooth.trainables.errors import InputError

HOLD = """
import sys
from tosmooth.search.storage import lease as module
module.BEAT = 0.2
with module.lease(sys.argv[1], "study"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("BEAT", 0.2), ("DEAD", 2.0), ("SETTLED", 0.1), ("AGAIN", 2.0)):
        monkeypatch.setattr(module, name, seconds)


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/optuna.db"
    optuna.create_study(storage=url, study_name="study")
    return url


def held(url: str) -> dict[str, object]:
    found: dict[str, object] = optuna.load_study(storage=url, study_name="study").user_attrs.get(LEASE, {})
    return found


def pretend(url: str) -> bool:
    """Have a driver of another machine hold the lease. False: nothing is over by that."""
    value = {"id": "theirs", "host": "elsewhere", "pid": 1, "since": "noon", "beats": 3}
    optuna.load_study(storage=url, study_name="study").set_user_attr(LEASE, value)
    return False


def test_lease_is_held_shown_and_given_back(url: str) -> None:
    with lease(url, "study"):
        before = held(url)
        wait_for("a sign of life", lambda: held(url) != before)
        assert {**held(url), "beats": 0} == {**before, "beats": 0}
    assert held(url) == {}
    with lease(url, "study"):
        pass


def test_second_driver_is_refused_while_the_first_lives_and_not_once_it_was_killed(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    command = [sys.executable, "-c", HOLD, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        words = f"running already: its driver is process {first.pid} on .*; wait for it"
        with pytest.raises(InputError, match=words), lease(url, "study"):
            pytest.fail("two drivers")
        first.kill()
    caplog.clear()
    with caplog.at_level("WARNING"), lease(url, "study"):
        assert caplog.messages == [], "that process is gone: nothing to wait for"


def test_driver_of_another_machine_counts_as_dead_when_it_shows_no_sign_of_life(url: str) -> None:
    pretend(url)
    with lease(url, "study"):
        assert held(url)["id"] != "theirs"


def test_number_of_a_process_in_another_container_says_nothing_of_one_here(url: str) -> None:
    value = {"id": "theirs", "host": socket.gethostname(), "space": "another", "pid": 2**22 - 1, "since": "noon"}
    optuna.load_study(storage=url, study_name="study").set_user_attr(LEASE, value)
    started = time.monotonic()
    with lease(url, "study"):
        assert time.monotonic() - started >= module.DEAD, "it was given its time to show itself"


def test_who_overslept_does_not_give_back_the_lease_of_another(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BEAT", 60.0)
    with lease(url, "study"):
        pretend(url)
    assert held(url)["id"] == "theirs"


def test_driver_that_was_taken_for_dead_stops_and_says_who_has_the_study(url: str) -> None:
    words = "its driver is process 1 on elsewhere since noon: this run is over"
    with pytest.raises(InputError, match=words), lease(url, "study"):
        wait_for("the end of this run", lambda: pretend(url))
    assert held(url)["id"] == "theirs"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_driver_that_missed_the_first_word_of_it_is_told_again(url: str) -> None:
    class Finalized:
        def __del__(self) -> None:
            swallowed.append(None)
            wait_for("the first word", lambda: pretend(url))  # Python drops what is raised here

    def run() -> None:
        finalized = Finalized()
        del finalized
        assert swallowed
        wait_for("the second", lambda: False)

    swallowed: list[None] = []
    with pytest.raises(InputError, match="this run is over"), lease(url, "study"):
        run()
    assert held(url)["id"] == "theirs"
