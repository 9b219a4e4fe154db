"""`scripts/run`, as people and other scripts use it."""

from __future__ import annotations

import hashlib
import os
import pty
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.gateway_process import ROOT, GatewayProcess

WITHIN_S = 60


def _arguments(gateway: GatewayProcess, sandbox_id: str, *words: str) -> list[str]:
    return [str(ROOT / "scripts" / "run"), "--url", gateway.url, sandbox_id, *words]


def _run(
    gateway: GatewayProcess, sandbox_id: str, *words: str, **options: object
) -> subprocess.CompletedProcess[bytes]:
    options = {"input": None, "stdin": subprocess.DEVNULL} | options
    if options["input"] is not None:
        del options["stdin"]
    return subprocess.run(
        _arguments(gateway, sandbox_id, *words),
        **{"capture_output": True, "timeout": WITHIN_S, "check": False} | options,
    )


def test_streams_come_apart_and_the_last_return_code_counts(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    done = _run(gateway, module_sandbox, "echo out; false", "echo err >&2; exit 7")

    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)


def test_why_a_command_could_not_be_run_is_said(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    done = _run(gateway, module_sandbox, "/no/such/program")

    assert done.returncode == 127
    assert b"No such file" in done.stderr


def test_output_comes_as_it_is_written(gateway: GatewayProcess, module_sandbox: str) -> None:
    words = _arguments(gateway, module_sandbox, "echo first; cat /tmp/go-on 2>/dev/null; sleep 30")
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"first\n"
        running.send_signal(signal.SIGINT)
        running.wait(WITHIN_S)


def test_twenty_megabytes_come_whole(gateway: GatewayProcess, module_sandbox: str) -> None:
    """A result has 8 MiB at most; what lies beyond was cut with status 0."""
    size = 20_000_000
    done = _run(gateway, module_sandbox, f"head -c {size} /dev/zero | tr '\\0' x")

    assert done.returncode == 0
    assert len(done.stdout) == size
    assert not done.stdout.strip(b"x")


@pytest.mark.parametrize(
    "command",
    ["echo out", "head -c 3000000 /dev/zero", "echo out; sleep 30"],
    ids=["a line", "much", "one that goes on"],
)
def test_a_full_disk_is_no_success(
    gateway: GatewayProcess, module_sandbox: str, command: str
) -> None:
    """It hung for ever after any exception."""
    with Path("/dev/full").open("wb") as full:
        done = _run(
            gateway,
            module_sandbox,
            command,
            capture_output=False,
            stdout=full,
            stderr=subprocess.PIPE,
        )

    assert done.returncode == 255
    assert b"No space left on device" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["yes", "seq 10000000", "echo a; sleep 1; echo b; sleep 30"])
def test_a_closed_pipe_ends_it_as_shells_do(
    gateway: GatewayProcess, module_sandbox: str, command: str
) -> None:
    words = _arguments(gateway, module_sandbox, f"timeout 20 bash -c {command!r}")
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        running.stdout.read(1)
        running.stdout.close()
        assert running.wait(WITHIN_S) == 141
        assert running.stderr is not None
        assert running.stderr.read() == b""


@pytest.mark.parametrize(
    "said",
    ["perché".encode(), b"\xff\xfe\x00 no text at all", "沙箱".encode()],
    ids=["accents", "no UTF-8", "Chinese"],
)
def test_bytes_are_passed_on_whatever_the_terminal_can_show(
    gateway: GatewayProcess, module_sandbox: str, said: bytes
) -> None:
    """An encoding without é made it hang."""
    octal = "".join(f"\\{byte:03o}" for byte in said)
    plain = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = _run(gateway, module_sandbox, f"printf '{octal}'; printf '{octal}' >&2", env=plain)

    assert (done.stdout, done.stderr, done.returncode) == (said, said, 0)


def test_a_command_may_have_any_letters(gateway: GatewayProcess, module_sandbox: str) -> None:
    plain = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = _run(gateway, module_sandbox, "printf 'perché 沙箱'", env=plain)

    assert done.stdout == "perché 沙箱".encode()


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_piped_input_is_passed_on(gateway: GatewayProcess, module_sandbox: str, size: int) -> None:
    data = os.urandom(size)
    done = _run(gateway, module_sandbox, "sha256sum", input=data)

    assert done.returncode == 0
    assert done.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("command", ["head -c 1 | wc -c", "exec <&-; sleep 0.3; echo 1", "echo 1"])
def test_a_command_need_not_read_its_input(
    gateway: GatewayProcess, module_sandbox: str, command: str
) -> None:
    done = _run(gateway, module_sandbox, command, input=b"x" * 3_000_000)

    assert (done.stdout.strip(), done.returncode) == (b"1", 0)


def test_an_open_pipe_without_a_writer_does_not_hold_it_back(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """Services hand down a pipe that nobody writes to and nobody closes."""
    reading, writing = os.pipe()
    try:
        done = _run(gateway, module_sandbox, "echo done", stdin=reading)
    finally:
        os.close(reading)
        os.close(writing)

    assert (done.stdout, done.returncode) == (b"done\n", 0)


def test_the_first_ctrl_c_ends_it_and_the_command_goes_on(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """On a real terminal: 130, no traceback, and the words that lead back to the command."""
    terminal, theirs = pty.openpty()
    command = "for n in 1 2 3 4; do echo $n; sleep 1; done; exit 5"
    running = subprocess.Popen(
        _arguments(gateway, module_sandbox, command),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=_take_terminal,
    )
    os.close(theirs)
    shown = b""
    while b"1\r\n" not in shown:
        shown += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    assert running.wait(WITHIN_S) == 130
    shown += _rest_of(terminal)
    assert b"Traceback" not in shown
    found = re.search(rb"the command goes on; to follow it: --attach (\S+)", shown)
    assert found is not None, shown

    done = _run(gateway, module_sandbox, "--attach", found[1].decode())

    assert (done.stdout, done.returncode) == (b"1\n2\n3\n4\n", 5)


def _take_terminal() -> None:
    import fcntl
    import termios

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # tests in the background ignore it
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _rest_of(terminal: int) -> bytes:
    shown = b""
    try:
        while piece := os.read(terminal, 4096):
            shown += piece
    except OSError:
        pass  # the other end is closed
    finally:
        os.close(terminal)
    return shown


def test_what_is_not_kept_any_more_is_no_success(
    gateway: GatewayProcess, module_sandbox: str
) -> None:
    """What is kept of a stream is bounded; who follows later misses what lay between."""
    body = {"command": "head -c 40000000 /dev/zero", "request_id": "much"}
    done = gateway.post(f"/sandboxes/{module_sandbox}/commands", json=body)
    assert done.json()["returncode"] == 0

    followed = _run(gateway, module_sandbox, "--attach", "much")

    assert followed.returncode == 255
    assert len(followed.stdout) < 40_000_000
    assert b"are not kept any more" in followed.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["0" * 32, "true"], b"sandbox_not_found"),
        (["{}", "--attach", "none"], b"command_not_found"),
    ],
)
def test_the_gateways_words_are_passed_on(
    gateway: GatewayProcess, module_sandbox: str, words: list[str], said: bytes
) -> None:
    done = _run(gateway, *[word.format(module_sandbox) if word == "{}" else word for word in words])

    assert done.returncode == 255
    assert said in done.stderr


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "http://localhost:1/below"])
def test_nobody_there_is_said_at_once(
    gateway: GatewayProcess, module_sandbox: str, address: str
) -> None:
    started = time.monotonic()
    done = _run(gateway, module_sandbox, "true", "--url", address)

    assert done.returncode == 255
    assert b"refused" in done.stderr
    assert time.monotonic() - started < 20


def test_a_killed_gateway_costs_nothing(own_gateway: Callable[..., GatewayProcess]) -> None:
    """The connection is made again, the command runs once, and every byte comes once."""
    gateway = own_gateway().start_ready()
    sandbox_id = gateway.create()
    words = _arguments(gateway, sandbox_id, "for n in $(seq 40); do echo $n; sleep 0.1; done")
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        first = running.stdout.readline()
        gateway.kill()
        gateway.start_ready()
        rest = running.stdout.read()
        assert running.wait(WITHIN_S) == 0

    assert (first + rest).split() == [str(n).encode() for n in range(1, 41)]
    eventually(lambda: gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200)
