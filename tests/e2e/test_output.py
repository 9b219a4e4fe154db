"""Large output: every byte where it fits, head and tail and the true size where it does not."""

from __future__ import annotations

import hashlib
import threading

import psutil
import pytest

from tests.support.clients import LIBRARIES, connect
from tests.support.gateway_process import GatewayProcess

MIB = 1024 * 1024
CAP = 8 * MIB

# Deterministic text without structure: a lost, doubled or swapped byte changes the hash.
_PRINT = """
import hashlib, sys
def text(seed, size):
    pieces, length = [], 0
    while length < size:
        piece = hashlib.sha512(b"%d:%d" % (seed, len(pieces))).hexdigest()
        pieces.append(piece)
        length += len(piece)
    return "".join(pieces)[:size]
"""


def _text(seed: int, size: int) -> str:
    scope: dict = {}
    exec(_PRINT, scope)
    return scope["text"](seed, size)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("library", LIBRARIES)
def test_five_megabytes_on_both_streams_arrive_byte_exact(
    gateway: GatewayProcess, module_sandbox: str, library: str
) -> None:
    """By SHA-256 over stdout and stderr, written in turns, as a build writes them."""
    size = 5_000_000
    script = (
        _PRINT
        + f"""
out, err = text(1, {size}), text(2, {size})
for at in range(0, {size}, 70001):
    sys.stdout.write(out[at:at + 70001]); sys.stdout.flush()
    sys.stderr.write(err[at:at + 70001]); sys.stderr.flush()
"""
    )
    with connect(gateway, module_sandbox, library) as client:
        result = client.run(f"python3 - <<'EOF'\n{script}\nEOF\n")

    assert result["returncode"] == 0, result["error"][-500:]
    assert "truncated" not in result
    assert (len(result["output"]), len(result["error"])) == (size, size)
    assert _sha256(result["output"]) == _sha256(_text(1, size))
    assert _sha256(result["error"]) == _sha256(_text(2, size))


def test_eight_megabytes_in_one_result_arrive_byte_exact(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """Exactly the cap: nothing is cut. One WebSocket frame of 8 MiB used to be the one that never
    arrived."""
    with connect(gateway, module_sandbox) as client:
        result = client.run(f"python3 - <<'EOF'\n{_PRINT}\nprint(text(3, {CAP}), end='')\nEOF\n")

    assert "truncated" not in result
    assert _sha256(result["output"]) == _sha256(_text(3, CAP))


def test_one_byte_more_than_the_cap_is_said_to_be_cut(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """Head and tail are kept, together as long as the cap, and the true sizes are given."""
    with connect(gateway, module_sandbox) as client:
        result = client.run(
            f"python3 - <<'EOF'\n{_PRINT}\nprint(text(4, {CAP + 1}), end='')\nEOF\n"
        )

    assert result["truncated"] == {"output_bytes": CAP + 1, "error_bytes": 0}
    whole = _text(4, CAP + 1)
    assert len(result["output"]) == CAP
    assert result["output"][: CAP // 2] == whole[: CAP // 2]
    assert result["output"][-CAP // 2 :] == whole[-CAP // 2 :]


def test_a_cut_never_breaks_a_character(gateway: GatewayProcess, module_sandbox: str) -> None:
    """Head and tail end at borders of characters: no U+FFFD that the command did not print."""
    with connect(gateway, module_sandbox) as client:
        for lead in range(3):
            result = client.run(
                f"python3 -c \"import sys; sys.stdout.write('x' * {lead} + '沙' * 3100000)\""
            )
            assert result["truncated"]["output_bytes"] == lead + 9_300_000
            assert "\ufffd" not in result["output"]
            assert set(result["output"]) <= {"x", "沙"}
            assert len(result["output"].encode()) > CAP - 8


def test_a_gigabyte_comes_back_capped_and_costs_the_gateway_no_memory(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """`yes`, a runaway log: 8 MiB come back with the true size, and the workers together never
    grow by as much as 64 MB meanwhile."""
    gigabyte = 1024 * MIB
    with connect(gateway, module_sandbox) as client:
        client.run(
            "head -c 20000000 /dev/zero | tr '\\0' x"
        )  # what one such result needs is paid before
        before = gateway.memory()
        with _MemoryPeak(gateway.workers()) as peak:
            result = client.run(
                f"printf HEAD; head -c {gigabyte - 8} /dev/zero | tr '\\0' x; printf TAIL",
                within_s=100,
            )

    assert result["truncated"] == {"output_bytes": gigabyte, "error_bytes": 0}
    assert len(result["output"]) == CAP
    assert result["output"].startswith("HEADxxxx")
    assert result["output"].endswith("xxxxTAIL")
    assert peak.bytes - before < 64 * MIB, f"grew by {(peak.bytes - before) / MIB:.0f} MiB"


def test_one_line_of_a_hundred_megabytes_is_cut(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """On stderr, without a newline anywhere: nothing waits for the end of a line."""
    with connect(gateway, module_sandbox) as client:
        result = client.run("head -c 100000000 /dev/zero | tr '\\0' e >&2", within_s=60)

    assert result["output"] == ""
    assert result["truncated"] == {"output_bytes": 0, "error_bytes": 100_000_000}
    assert len(result["error"]) == CAP


def test_a_flood_of_one_command_does_not_delay_anothers_answer(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """Both share one link into the sandbox: the small answer comes while the flood goes on."""
    with connect(gateway, module_sandbox) as flooded, connect(gateway, module_sandbox) as quick:
        quick.run("true")
        flooded.ask("timeout 3 yes", request_id="flood")
        for number in range(20):
            result = quick.run(f"echo {number}", within_s=4)
            assert result["output"] == f"{number}\n"
        with pytest.raises(TimeoutError):
            flooded.receive(within_s=0.01)
        assert flooded.receive(within_s=30)["truncated"]["output_bytes"] > CAP


class _MemoryPeak:
    """Measures the most that some processes have resident together while inside."""

    def __init__(self, processes: list[psutil.Process]) -> None:
        self._processes = processes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self.bytes = 0

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            now = sum(process.memory_info().rss for process in self._processes)
            self.bytes = max(self.bytes, now)

    def __enter__(self) -> _MemoryPeak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
