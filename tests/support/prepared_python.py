"""Python scripts in processes of their own, forked from one that has imported what they need.

To import the store takes 0.6 s of processor time, and scripts that contend for it start by fours.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from multiprocessing.connection import Connection

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "tests.support.prepared_python",
        "gateway.store.admission",
        "gateway.store.end_records",
        "gateway.store.events",
        "gateway.store.leases",
        "gateway.store.migrations.carrying_out",
        "gateway.store.postgresql",
    ]
)


class PreparedPython:
    """`python -c SCRIPT ARGUMENT…` with its standard input and output. Ends with this process."""

    def __init__(self, script: str, *arguments: str) -> None:
        (theirs_in, ours_in), (ours_out, theirs_out) = os.pipe(), os.pipe()
        self._stdin = os.fdopen(ours_in, "w", buffering=1)
        self._stdout = os.fdopen(ours_out)
        ends = Connection(theirs_in, writable=False), Connection(theirs_out, readable=False)
        self._process = _CONTEXT.Process(
            target=_run, args=(script, list(arguments), *ends), daemon=True
        )
        self._process.start()
        for end in ends:
            end.close()

    def say(self, line: str) -> None:
        """Write a line to it."""
        self._stdin.write(line + "\n")

    def line(self) -> str:
        """The next line that it writes, waited for."""
        return self._stdout.readline()

    def is_running(self) -> bool:
        return self._process.is_alive()

    def output(self, within_s: float) -> str:
        """The rest of what it writes, to its end. Raises AssertionError if that does not come, or
        if the script has failed."""
        self._stdin.close()
        with self._stdout:
            told = self._stdout.read()
        self._process.join(within_s)
        assert self._process.exitcode == 0
        return told


def _run(script: str, arguments: list[str], stdin: Connection, stdout: Connection) -> None:
    os.dup2(stdin.fileno(), 0)
    os.dup2(stdout.fileno(), 1)
    stdin.close()
    stdout.close()
    sys.argv = ["-c", *arguments]
    with (
        os.fdopen(0, closefd=False) as sys.stdin,
        os.fdopen(1, "w", closefd=False) as sys.stdout,
    ):
        exec(compile(script, "<script>", "exec"), {"__name__": "__main__"})
    os.close(1)
