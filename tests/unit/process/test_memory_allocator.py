"""What a worker frees goes back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys
from gateway.process.memory_allocator import give_back_what_is_freed

if sys.argv[1] == "set":
    give_back_what_is_freed()
size = int(sys.argv[2])

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

bytes(2 * size)  # freeing it raises the threshold, where it is not set
before = resident()
# A small block that stays after each large one: the heap's end does not sink.
large, small = [], []
for _ in range(40_000_000 // size):
    large.append(b"x" * size)
    small.append(bytearray(3000))
held = resident() - before
del large
print(held, resident() - before)
"""


def _held_and_kept(how: str, size: int) -> tuple[int, int]:
    """Bytes while blocks of `size` are in use, and after they were freed."""
    words = [sys.executable, "-c", PROGRAM, how, str(size)]
    held, kept = subprocess.run(words, capture_output=True, check=True, text=True).stdout.split()
    return int(held), int(kept)


@pytest.mark.parametrize("size", [200_000, 1_000_000, 3_000_000])
def test_freed_blocks_are_given_back(size: int) -> None:
    """Results come and go; without it a worker keeps what its busiest minute took, and more with
    each minute, for small blocks that live on lie between."""
    held, kept = _held_and_kept("set", size)

    assert held > 35_000_000
    assert kept < 0.1 * held


@pytest.mark.parametrize("size", [200_000, 1_000_000])
def test_without_it_they_are_kept(size: int) -> None:
    """That the program above shows what it is about: else the test would pass with any malloc."""
    held, kept = _held_and_kept("not set", size)

    assert kept > 0.5 * held
