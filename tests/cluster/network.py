"""Machines of a small network, as far as this one allows: a network namespace each, so that all they say is counted.

Where namespaces cannot be made (not root, no `ip`), a machine is another loopback address, and nothing is counted.
`TOSMOOTH_TEST_NETWORK=loopback` asks for that.
"""

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

CLONE_NEWNET = 0x40000000  # of linux/sched.h
NAMESPACES = Path("/var/run/netns")


@dataclass(frozen=True, slots=True)
class Machine:
    """One machine of the network. `namespace`: None where it is an address of this one."""

    name: str
    address: str
    namespace: str | None

    def command(self, *command: str) -> list[str]:
        """What starts a command on this machine; the process is the command's own."""
        return [*command] if self.namespace is None else ["ip", "netns", "exec", self.namespace, *command]

    def call(self, function: Callable[[], T]) -> T:
        """What a function returns that speaks to the network from this machine."""
        if self.namespace is None:
            return function()
        with ThreadPoolExecutor(1, initializer=_enter, initargs=(self.namespace,)) as thread:  # a thread has its own
            return thread.submit(function).result()

    def bytes(self, interface: str = "eth0") -> int | None:
        """What this machine has sent and received; None where that cannot be told from others'."""
        if self.namespace is None:
            return None
        places = [f"/sys/class/net/{interface}/statistics/{way}_bytes" for way in ("rx", "tx")]
        done = subprocess.run(self.command("cat", *places), check=True, capture_output=True, text=True)
        return sum(map(int, done.stdout.split()))


@contextmanager
def network(*names: str, private: tuple[str, str] | None = None) -> Iterator[dict[str, Machine]]:
    """Machines that reach each other and no one else. `private`: two that have a second link of their own (`eth1`)."""
    if os.environ.get("TOSMOOTH_TEST_NETWORK") == "loopback" or not _has_namespaces():
        yield {name: Machine(name, f"127.0.0.{i}", None) for i, name in enumerate(names, start=2)}
        return
    prefix = f"ts{os.getpid()}"
    switch = f"{prefix}-switch"
    try:
        _ip("netns", "add", switch)
        _ip("-n", switch, "link", "add", "bridge0", "type", "bridge")
        _ip("-n", switch, "link", "set", "bridge0", "up")
        machines = {}
        for i, name in enumerate(names, start=2):
            machine = Machine(name, f"10.77.0.{i}", f"{prefix}-{name}")
            _ip("netns", "add", str(machine.namespace))
            _ip("-n", str(machine.namespace), "link", "set", "lo", "up")
            _link((str(machine.namespace), "eth0", f"{machine.address}/24"), (switch, f"port{i}", None))
            _ip("-n", switch, "link", "set", f"port{i}", "master", "bridge0")
            machines[name] = machine
        if private is not None:
            one, other = (str(machines[name].namespace) for name in private)
            here, there = (f"{second(machines[name])}/24" for name in private)
            _link((one, "eth1", here), (other, "eth1", there))
        yield machines
    finally:
        for namespace in [switch, *(f"{prefix}-{name}" for name in names)]:
            if (NAMESPACES / namespace).exists():
                _ip("netns", "del", namespace)


def second(machine: Machine) -> str:
    """The address of a machine on the link of its own, where there is one."""
    return machine.address.replace("10.77.0.", "10.77.1.")


def _link(*ends: tuple[str, str, str | None]) -> None:
    """A cable between two namespaces: each end's namespace, interface and address."""
    (one, first, _), (other, last, _) = ends
    _ip("-n", one, "link", "add", first, "type", "veth", "peer", "name", last, "netns", other)
    for namespace, interface, address in ends:
        if address is not None:
            _ip("-n", namespace, "address", "add", address, "dev", interface)
        _ip("-n", namespace, "link", "set", interface, "up")


def _has_namespaces() -> bool:
    name = f"ts{os.getpid()}-try"
    made = [["netns", "add", name], ["-n", name, "link", "add", "bridge0", "type", "bridge"]]
    made += [["-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "eth1"]]
    try:
        return all(subprocess.run(["ip", *each], capture_output=True, check=False).returncode == 0 for each in made)
    except FileNotFoundError:
        return False
    finally:
        if (NAMESPACES / name).exists():
            _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def _enter(namespace: str) -> None:
    """Move this thread, which no other function uses, into a namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with (NAMESPACES / namespace).open() as file:
        if libc.setns(file.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
