"""E2B's SDKs, unmodified, as programs of their users run them: in environments that
`scripts/lib/client_environments.sh` makes below `.run/sdks`."""

from __future__ import annotations

import json
import os
import subprocess
import textwrap
from pathlib import Path

from tests.support.gateway_process import ROOT, GatewayProcess

SDKS = ROOT / ".run" / "sdks"

NEWEST, OLDER, OLDEST = "newest", "e2b-2.45", "e2b-2.27"
PYTHON = (NEWEST, OLDER, OLDEST)
"""Environments with E2B's SDK for Python; the newest has the code interpreter's, too."""

WITHIN_S = 100.0

KEYS = {
    "alice": "e2b_" + "a1" * 20,
    "bob": "e2b_" + "b0" * 20,
}
"""In the form that SDKs of the versions 2.28 to 2.45 take."""

INLINE = ",".join(f"{name}:{key}" for name, key in KEYS.items())
"""For SANDBOX_API_KEYS."""


def key_header(name: str = "alice") -> dict[str, str]:
    """The header by which the control plane knows somebody."""
    return {"X-API-Key": KEYS[name]}


class Program:
    """What a program has printed."""

    def __init__(self, stdout: str) -> None:
        self.stdout = stdout

    @property
    def said(self) -> dict[str, object]:
        """Its last line, which is JSON."""
        return json.loads(self.stdout.strip().splitlines()[-1])


def environment(gateway: GatewayProcess, key: str = KEYS["alice"]) -> dict[str, str]:
    """All that a program needs to know."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": os.environ.get("HOME", "/root"),
        "E2B_API_KEY": key,
        "E2B_API_URL": gateway.url,
        "E2B_SANDBOX_URL": gateway.url,
    }


def run_python(
    gateway: GatewayProcess,
    program: str,
    *,
    sdk: str = NEWEST,
    key: str = KEYS["alice"],
    within_s: float = WITHIN_S,
) -> Program:
    """Run a program with one of the SDKs for Python, to its end."""
    command = [str(SDKS / sdk / "bin" / "python"), "-c", textwrap.dedent(program)]
    return _run(command, environment(gateway, key), within_s, SDKS)


def run_node(
    gateway: GatewayProcess,
    program: str,
    *,
    key: str = KEYS["alice"],
    within_s: float = WITHIN_S,
) -> Program:
    """Run a program, which is an ES module, with the SDKs for JavaScript."""
    command = ["node", "--input-type=module", "--eval", textwrap.dedent(program)]
    return _run(command, environment(gateway, key), within_s, SDKS / "npm")


def _run(command: list[str], env: dict[str, str], within_s: float, where: Path) -> Program:
    done = subprocess.run(
        command, cwd=where, env=env, capture_output=True, text=True, timeout=within_s, check=False
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return Program(done.stdout)
