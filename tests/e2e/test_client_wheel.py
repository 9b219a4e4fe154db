"""The package as it is installed: alone, into an empty environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.sgw import environment, wheel_of_this_tree

GATEWAYS_OWN = {"flask", "gevent", "gunicorn", "docker", "sqlalchemy", "pydantic", "apscheduler"}


@pytest.mark.timeout(300)
def test_it_installs_without_the_gateway(gateway: GatewayProcess, tmp_path: Path) -> None:
    """`pip install .`: `sgw` and `sandbox_gateway` work, nothing of the gateway comes with them,
    and type checkers see the types."""
    programs = wheel_of_this_tree(tmp_path / "empty", Path(sys.executable))
    variables = environment(gateway.url, PYTHONPATH="")

    def said(*words: str) -> str:
        done = subprocess.run(
            [programs / words[0], *words[1:]],
            env=variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    listed = {line.split("==")[0].lower() for line in said("pip", "freeze").splitlines()}
    code = (
        "import sandbox_gateway, pathlib;"
        "here = pathlib.Path(sandbox_gateway.__file__).parent;"
        "print((here / 'py.typed').exists(), here.parent.name);"
        "box = sandbox_gateway.Sandbox.create();"
        "box.__enter__(); print(box.commands.run('echo in').output, end='');"
        "box.__exit__(None, None, None)"
    )

    assert listed & GATEWAYS_OWN == set()
    assert {"click", "httpx2"} <= listed
    assert said("python", "-c", code) == "True site-packages\nin"
    assert said("sgw", "run", "--", "echo", "out") == "out"
    assert said("sgw", "--version") == said(
        "python", "-c", "import sandbox_gateway as s; print(s.__version__)"
    )
    with pytest.raises(subprocess.CalledProcessError):
        said("python", "-c", "import gateway")
