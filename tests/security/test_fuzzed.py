"""Every route as its own document describes it, under requests that a fuzzer makes up."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, INLINE
from tests.support.rounds import rounds

MakeGateway = Callable[..., GatewayProcess]

EXAMPLES = rounds(usually=2, soaking=100)

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)

NOT_OURS_TO_DESCRIBE = ("--exclude-path", "/sandboxes/{sandbox_id}/ports/{port}/")
"""What a server in the sandbox answers, or that there is none (502)."""

REQUEST_S = 120
"""How long an answer is waited for: 64 forks take half a second each, and longer beside others."""

ROOT = Path(__file__).parents[2]
HOOKS = {"SCHEMATHESIS_HOOKS": "tests.support.fuzzer_hooks", "PYTHONPATH": str(ROOT)}


def _fuzz(gateway: GatewayProcess, directory: Path, *more: str, checks: tuple[str, ...]) -> None:
    """Let schemathesis ask; its own report is the assertion's text."""
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{gateway.url}/openapi.json"),
        *("--url", gateway.url, "--checks", ",".join(checks)),
        *("--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES)),
        *("--request-timeout", str(REQUEST_S), "--no-color", "--seed", "1"),
        *(*NOT_OURS_TO_DESCRIBE, *more),
    ]
    done = subprocess.run(
        command,
        cwd=directory,
        env=os.environ | HOOKS,
        capture_output=True,
        text=True,
        timeout=1500,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
    # One that had nothing to ask would be content too.
    assert "generated" in done.stdout, done.stdout[-2000:]


@pytest.mark.timeout(1800)
def test_no_request_is_answered_in_a_way_that_is_not_announced(
    own_gateway: MakeGateway, tmp_path: Path
) -> None:
    """No 500, no status, header, type or field that `/openapi.json` does not name."""
    gateway = own_gateway(timeout="20", pool_size="2").start_ready()

    _fuzz(gateway, tmp_path, checks=CHECKS)


@pytest.mark.timeout(1800)
def test_with_a_key_likewise_and_without_one_nothing_opens(
    own_gateway: MakeGateway, tmp_path: Path
) -> None:
    """The same with keys; and whatever is asked without one, or with a wrong one, is refused."""
    gateway = own_gateway(timeout="20", pool_size="2", api_keys=INLINE, network="none")
    gateway.headers = {"X-API-Key": ALICE}
    gateway.start_ready()

    _fuzz(
        gateway,
        tmp_path,
        *("--header", f"Authorization: Bearer {ALICE}"),
        checks=(*CHECKS, "ignored_auth"),
    )
