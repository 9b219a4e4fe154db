"""`e2b`: what E2B's unmodified SDK for Python takes, beside the same command over REST."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import requests

from .client import TIMEOUT_S, BenchmarkFailed
from .gateway import Gateways
from .rounds import Series, Subject, measure
from .targets import Target

TARGETS = (
    Target("command", "rest", "at most", 1.5),
    Target("create", None, "at most", 60.0),
    Target("warm", None, "at most", 15.0),
    Target("context", None, "at most", 80.0),
)

SETTINGS = {
    "SANDBOX_TEMPLATES": "code-interpreter",
    "SANDBOX_POOL_IMAGES": "sandbox-websocket-image,code-interpreter",
    "SANDBOX_POOL_SIZE": "1",
}
"""Of the gateway that is measured; one that runs already needs them too, and no keys."""

WARM_UP = 20

ROOT = Path(__file__).resolve().parents[2]
INTERPRETER = ROOT / ".run" / "sdks" / "newest" / "bin" / "python"
PROGRAM = Path(__file__).with_name("e2b_program.py")


class _Program:
    """One that runs for the whole of the benchmark, in a process of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.sandbox_id = self._line()

    def times(self, name: str, count: int) -> list[float]:
        """Seconds. Raises BenchmarkFailed."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{name} {count}\n")
        self._process.stdin.flush()
        told: list[float] = json.loads(self._line())
        return told

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise BenchmarkFailed("the program with E2B's SDK has ended; see above")
        return line.strip()


def run(
    gateways: Gateways, rounds: int, samples: int, say: Callable[[str], None]
) -> dict[str, Series]:
    """Measure all in one sandbox of the SDK's. Raises BenchmarkFailed."""
    if not INTERPRETER.exists():
        raise BenchmarkFailed("E2B's SDKs are not there: scripts/test.sh makes .run/sdks")
    with _program(gateways.measured) as program, closing(requests.Session()) as session:
        session.trust_env = False
        commands = f"{gateways.measured}/sandboxes/{program.sandbox_id}/commands"

        def rest(count: int) -> list[float]:
            taken = []
            for _ in range(count):
                began = time.perf_counter()
                answer = session.post(commands, json={"command": "true"}, timeout=TIMEOUT_S)
                taken.append(time.perf_counter() - began)
                if not answer.ok:
                    raise BenchmarkFailed(f"{commands}: {answer.status_code} {answer.text:.500}")
            return taken

        def by_sdk(name: str) -> Callable[[int], list[float]]:
            return lambda count: program.times(name, count)

        rest(WARM_UP)
        for name in ("command", "warm"):
            program.times(name, WARM_UP)
        few = max(1, samples // 10)
        subjects = [
            Subject("rest", "`true` over REST", rest, samples),
            Subject("command", "`commands.run('true')`", by_sdk("command"), samples),
            Subject("create", "`Sandbox.create()` from the pool", by_sdk("create"), few),
            Subject("warm", "`run_code('1+1')`", by_sdk("warm"), samples),
            Subject("context", "a new context with pandas", by_sdk("context"), few),
        ]
        return measure(subjects, rounds, say)


@contextmanager
def _program(url: str) -> Iterator[_Program]:
    """Ends, and its sandbox with it, after the block."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/"),
        "E2B_API_URL": url,
        "E2B_SANDBOX_URL": url,
        "E2B_API_KEY": "e2b_00",
    }
    with subprocess.Popen(
        [str(INTERPRETER), "-I", str(PROGRAM)],  # else this module would be the SDK of its name
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as process:
        try:
            yield _Program(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                process.wait(TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
