"""The system calls that sandboxes may use: an allow-list of the gateway's own, `seccomp.json`.

The engine's own profile depends on its age (that of Docker Engine 20.10 has io_uring, AF_VSOCK and
all 32-bit calls) and on what its operator has configured; this one is the same everywhere. It
starts from what that profile allows and leaves out:

- io_uring: its calls bypass every filter, and it had more holes than any other part of the kernel;
- all socket families but UNIX, internet, and netlink for routes and `ss`: no AF_ALG, no AF_VSOCK
  (it reaches the host past every firewall), no AF_PACKET;
- all internet protocols but TCP, UDP and the ICMP of `ping`: no MPTCP, SMC, SCTP, DCCP, UDP-Lite,
  nor raw sockets;
- 32-bit and x32 programs: half of the kernel's entry points, and `socketcall`, whose arguments
  lie in memory where a filter cannot see them. They die of SIGSYS;
- namespaces, mounts, keys, BPF, performance events, userfaultfd, modify_ldt, and what only a
  capability would allow anyway.

What it refuses fails with EPERM (a socket to the kernel's audit as where there is none), and calls
newer than the newest in it with ENOSYS, which runc (1.0 and later) adds: C libraries then fall
back. The format is Docker's ("Seccomp security profiles
for Docker"); `docker run --security-opt seccomp=gateway/engine/seccomp.json` takes the file too.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources


@cache
def profile() -> str:
    """The profile as one line of JSON without comments: what the engine's API takes, which knows
    no paths."""
    text = (resources.files("gateway.engine") / "seccomp.json").read_text(encoding="utf-8")
    found = json.loads(text)
    for rule in found["syscalls"]:
        rule.pop("comment", None)
    return json.dumps(found, separators=(",", ":"))
