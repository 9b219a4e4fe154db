"""The process of `prepared_gateways`: gunicorn's master as far as it is the same for all gateways.

    python -m tests.support.prepared_master DESCRIPTOR

Takes requests from a socket of sequenced packets, until its other end is closed.
"""

from __future__ import annotations

import gunicorn.app.wsgiapp as gunicorn_program

from gateway.server.modules_before_the_fork import import_for_workers, patch_what_is_taken_by_name

patch_what_is_taken_by_name()  # as gateway.server.gunicorn_config does, in the same place

# ruff: noqa: E402
import ctypes
import json
import os
import signal
import socket
import sys
from typing import Any

# All that gateway.server.gunicorn_config imports, which itself is each gateway's own: it reads
# the settings. Their order is not the same; what comes last is what takes the time.
import gateway.server.gunicorn_worker  # noqa: F401

_MESSAGE_BYTES = 256 * 1024
_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main() -> None:
    """Serve requests. In a fork: be a gateway."""
    import_for_workers()
    here = socket.socket(fileno=int(sys.argv[1]))
    while True:
        message, descriptors, _flags, _from = socket.recv_fds(here, _MESSAGE_BYTES, 1)
        if not message:
            return
        request = json.loads(message)
        if "status of" in request:
            answer = _status_of(request["status of"])
        else:
            parent = os.getpid()
            answer = os.fork()
            if answer == 0:
                here.close()
                _become(request, descriptors[0], parent)
                return
            os.close(descriptors[0])
        here.send(json.dumps(answer).encode())


def _status_of(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _become(request: dict[str, Any], log: int, parent: int) -> None:
    """A gateway: returns, or raises SystemExit, when gunicorn has ended."""
    os.setsid()
    # Ends with the test run, however that ends.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
    for standard in (1, 2):
        os.dup2(log, standard)
    os.close(log)
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = ["gunicorn", *request["arguments"]]
    gunicorn_program.run()


if __name__ == "__main__":
    main()
