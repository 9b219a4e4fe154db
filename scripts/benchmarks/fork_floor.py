"""The floor under every command: what the kernel takes to run the sandbox's shell and nothing else.

`PROGRAM` runs inside the sandbox, started as a command like any other: same user, same limits,
same container. For every sample it makes two pipes, starts `SHELL -c true` on them, reads both to
their end and waits. It does so with posix_spawn(3), which starts the child without copying the
parent's page tables (CLONE_VFORK). `subprocess.Popen` does so too, since Python 3.10, and takes
2 % longer.
"""

from __future__ import annotations

import json
import shlex

PROGRAM = """
import json, os, sys, time

def run(shell):
    read_out, write_out = os.pipe()
    read_err, write_err = os.pipe()
    pid = os.posix_spawn(
        shell,
        [shell, "-c", "true"],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, write_out, 1), (os.POSIX_SPAWN_DUP2, write_err, 2)],
    )
    os.close(write_out)
    os.close(write_err)
    for pipe in (read_out, read_err):
        while os.read(pipe, 65536):
            pass
        os.close(pipe)
    if os.waitpid(pid, 0)[1]:
        sys.exit("the shell failed")

shell = "/bin/bash" if os.path.exists("/bin/bash") else "/bin/sh"
run(shell)
samples = []
for _ in range(int(sys.argv[1])):
    started = time.perf_counter()
    run(shell)
    samples.append(time.perf_counter() - started)
json.dump(samples, sys.stdout)
"""


def command(count: int) -> str:
    """The shell command that takes `count` samples."""
    return f"exec python3 -S -E -c {shlex.quote(PROGRAM)} {count}"


def samples(output: str) -> list[float]:
    """What the program found, in seconds. Raises ValueError."""
    return [float(sample) for sample in json.loads(output)]
