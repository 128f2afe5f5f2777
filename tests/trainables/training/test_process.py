"""What a process is set up to: its threads, and memory that stays."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT

CODE = """
import ctypes, json, resource, sys, torch
from tosmooth.trainables.training.process import prepare
if sys.argv[1] == "prepared":
    prepare(threads=1)
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2**26, dtype=torch.uint8)  # 16,384 pages; more than glibc keeps of itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
found = [torch.get_num_threads(), faults()]
mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
print(json.dumps([*found, bool(mallopt and mallopt(-3, 2**30))]))
"""


def measured(how: str) -> tuple[int, int, bool]:
    """Threads, page faults of making 64 MiB anew 20 times, and whether this C library can be told to keep so much."""
    command = [sys.executable, "-c", CODE, how]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    threads, faults, can_keep = json.loads(done.stdout)
    return threads, faults, can_keep


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have other allocators")
def test_memory_of_a_step_is_not_given_back_before_the_next() -> None:
    threads, faults, can_keep = measured("prepared")
    assert threads == 1
    if not can_keep:
        pytest.skip("this C library keeps at most 32 MiB, or none")
    assert faults < measured("plain")[1] / 10
