"""A program of E2B's users, run by an interpreter that has their SDKs: it knows nothing of the
gateway but what the environment says.

For each line `NAME COUNT` on stdin it prints one line of JSON: so many durations, in seconds. The
first line that it prints is the id of the sandbox in which it works.
"""

import json
import sys
import time
from collections.abc import Callable

from e2b import Sandbox as Machine
from e2b_code_interpreter import Sandbox

REST_S = 2.5
"""After a sandbox was made, for the pool to stand ready again. It is not measured."""


def command(sandbox: Sandbox) -> float:
    """A command that does nothing."""
    began = time.perf_counter()
    sandbox.commands.run("true")
    return time.perf_counter() - began


def create(_sandbox: Sandbox) -> float:
    """A new sandbox."""
    began = time.perf_counter()
    made = Machine.create(timeout=60)
    took = time.perf_counter() - began
    made.kill()
    time.sleep(REST_S)
    return took


def warm(sandbox: Sandbox) -> float:
    """Code in the default context."""
    began = time.perf_counter()
    done = sandbox.run_code("1+1")
    took = time.perf_counter() - began
    if done.text != "2":
        raise RuntimeError(f"1+1 was {done}")
    return took


def context(sandbox: Sandbox) -> float:
    """A new context, and pandas in it."""
    began = time.perf_counter()
    made = sandbox.create_code_context()
    done = sandbox.run_code("import pandas", context=made)
    took = time.perf_counter() - began
    sandbox.remove_code_context(made)
    if done.error:
        raise RuntimeError(f"no pandas: {done.error}")
    return took


WORK: dict[str, Callable[[Sandbox], float]] = {
    one.__name__: one for one in (command, create, warm, context)
}


def main() -> None:
    """Until stdin ends."""
    with Sandbox.create(timeout=1800) as sandbox:
        warm(sandbox)
        print(sandbox.sandbox_id, flush=True)
        for line in sys.stdin:
            name, count = line.split()
            print(json.dumps([WORK[name](sandbox) for _ in range(int(count))]), flush=True)


if __name__ == "__main__":
    main()
