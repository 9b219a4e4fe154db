"""What the host does not enforce is said, and refused where the operator requires it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

import docker
import pytest

from tests.support.eventually import eventually
from tests.support.gateway_process import ROOT, GatewayProcess
from tests.support.problems import problem_of


@pytest.fixture(scope="module")
def security_options() -> set[str]:
    """What the machine's engine has."""
    client = docker.APIClient(version="auto")
    options = client.info()["SecurityOptions"]
    client.close()
    return {option.split(",")[0].removeprefix("name=") for option in options}


def _missing(security_options: set[str]) -> str:
    """Something that this host does not enforce, for the sake of the refusal."""
    if not security_options & {"apparmor", "selinux"}:
        return "lsm"
    return "userns" if not security_options & {"userns", "rootless"} else "disk"


def _start(gateway: GatewayProcess, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "gunicorn"),
            *("--config", "python:gateway.server.gunicorn_config", "wsgi:app"),
        ],
        cwd=ROOT,
        env={**os.environ, **gateway._environment(), **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_readyz_says_what_the_host_enforces(
    gateway: GatewayProcess, security_options: set[str]
) -> None:
    """As the engine itself says it, with a sentence for each; and it is no reason to be unready."""
    answer = gateway.get("/readyz")

    assert answer.status_code == 200
    posture = answer.json()["posture"]
    assert {*posture} >= {
        *("engine", "containerd", "runc", "seccomp", "lsm", "userns", "cgroups", "limits"),
    }
    assert posture["seccomp"]["ok"] is ("seccomp" in security_options)
    assert posture["lsm"]["ok"] is bool(security_options & {"apparmor", "selinux"})
    assert posture["userns"]["ok"] is bool(security_options & {"userns", "rootless"})
    for check in posture.values():
        assert check["level"] in ("ok", "notice", "warning")
        assert check["ok"] is (check["level"] == "ok")
        assert check["detail"]


def test_it_is_logged_once_at_the_start(gateway: GatewayProcess) -> None:
    """By one of the workers; as a warning what is not enforced."""
    posture = gateway.get("/readyz").json()["posture"]

    for name, check in posture.items():
        level = "WARNING" if check["level"] == "warning" else "INFO"
        lines = eventually(
            lambda n=name: [li for li in gateway.log().splitlines() if f" posture: {n}: " in li]
        )
        assert len(lines) == 1
        assert f" {level} " in lines[0]


def test_what_is_required_and_missing_refuses_the_start(
    own_gateway: Callable[..., GatewayProcess], security_options: set[str]
) -> None:
    """In one line, with a status, before anything listens, and without trying again and again."""
    missing = _missing(security_options)
    ended = _start(own_gateway(), SANDBOX_REQUIRE=f"limits, {missing}")

    assert ended.returncode == 1
    said = [line for line in ended.stderr.splitlines() if "[" not in line[:1]]
    assert len(said) == 1, ended.stderr
    assert said[0].startswith("The gateway does not start: SANDBOX_REQUIRE is not met: ")
    assert missing in said[0]
    assert "limits (" not in said[0]
    assert "Listening" not in ended.stderr
    assert "Booting worker" not in ended.stderr


def test_a_requirement_that_cannot_be_looked_at_refuses_the_start(
    own_gateway: Callable[..., GatewayProcess],
) -> None:
    """Not knowing is not the same as safe."""
    ended = _start(
        own_gateway(), SANDBOX_REQUIRE="seccomp", DOCKER_HOST="unix:///nonexistent/docker.sock"
    )

    assert ended.returncode == 1
    assert "seccomp (unknown: " in ended.stderr


def test_an_unknown_requirement_is_a_wrong_setting(
    own_gateway: Callable[..., GatewayProcess],
) -> None:
    """A misspelt one would require nothing, in silence."""
    ended = _start(own_gateway(), SANDBOX_REQUIRE="secomp")

    assert ended.returncode != 0
    assert "SANDBOX_REQUIRE=secomp is wrong" in ended.stderr


def test_what_is_required_and_there_starts(
    own_gateway: Callable[..., GatewayProcess], security_options: set[str]
) -> None:
    """The requirement is no obstacle where it is met."""
    assert "seccomp" in security_options
    gateway = own_gateway(require="seccomp,limits", workers="1").start_ready()

    assert "posture" not in gateway.get("/readyz").json()["checks"]


def test_a_level_that_the_host_lacks_is_refused(gateway: GatewayProcess) -> None:
    """Never a weaker one in its place."""
    if "runsc" in gateway.engine.api.info()["Runtimes"]:
        assert gateway.post("/sandboxes", json={"isolation": "gvisor"}).status_code == 201
        return
    before = gateway.listed()

    problem = problem_of(gateway.post("/sandboxes", json={"isolation": "gvisor"}), 422)

    assert problem["code"] == "isolation_unavailable"
    assert gateway.listed() == before
