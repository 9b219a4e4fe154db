"""The environment that a sandbox is created with is its commands', and nobody else's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.bare_image import image_without
from tests.support.clients import connect
from tests.support.gateway_process import GatewayProcess
from tests.support.rest_commands import result_of

SPOILED: dict[str, dict[str, str]] = {
    "PATH": {"PATH": "$PATH:/opt/bin"},
    "no PATH": {"PATH": ""},
    "LD_PRELOAD": {"LD_PRELOAD": "/home/user/none.so", "LD_LIBRARY_PATH": "/nowhere"},
    "LD_AUDIT": {"LD_AUDIT": "/nowhere.so", "LD_BIND_NOW": "1", "GLIBC_TUNABLES": "x"},
    "PYTHON": {"PYTHONHOME": "/nowhere", "PYTHONPATH": "/nowhere", "PYTHONMALLOC": "nonsense"},
    "HOME": {"HOME": "/tmp", "USER": "somebody", "LOGNAME": "somebody", "SHELL": "/bin/none"},
    "BASH_ENV": {"BASH_ENV": "/nowhere", "ENV": "/nowhere", "SHELLOPTS": "noexec"},
    "locale": {"LANG": "xx_YY", "LC_ALL": "nonsense", "PYTHONIOENCODING": "none"},
}


@pytest.fixture
def create(gateway: GatewayProcess) -> Iterator[Any]:
    made: list[str] = []

    def create(**fields: object) -> str:
        answer = gateway.post("/sandboxes", json=fields)
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["sandbox_id"])
        return made[-1]

    yield create
    for sandbox_id in made:
        gateway.delete(f"/sandboxes/{sandbox_id}")


@pytest.mark.parametrize("kind", SPOILED)
def test_any_environment_makes_a_living_sandbox(
    gateway: GatewayProcess, create: Any, kind: str
) -> None:
    """201 for a sandbox that is dead is a lie; and each variable reaches commands as given."""
    given = SPOILED[kind]
    sandbox_id = create(env=given)
    # Read from the kernel: a shell changes some of these for what it starts.
    result = result_of(gateway, sandbox_id, "/bin/cat /proc/$$/environ")
    if kind != "BASH_ENV":  # there the command is read, and not carried out
        found = dict(entry.split("=", 1) for entry in result["output"].split("\0") if "=" in entry)
        assert {name: found.get(name) for name in given} == given, result
        assert not [name for name in found if name.startswith("AGENT_ENV_")]
    assert gateway.get(f"/sandboxes/{sandbox_id}").status_code == 200
    assert gateway.engine.processes(sandbox_id)


def test_the_first_process_has_nothing_of_it(gateway: GatewayProcess, create: Any) -> None:
    """It must start, whatever a user thinks of."""
    sandbox_id = create(env={"STAGE": "test", "LD_PRELOAD": "/x"})
    init = min(gateway.engine.processes(sandbox_id), key=lambda process: process.pid)
    names = set(init.environ())
    assert not names & {"STAGE", "LD_PRELOAD"}


def test_home_is_taken_and_commands_still_start_at_home(
    gateway: GatewayProcess, create: Any
) -> None:
    """HOME as USER: what programs look for; the directory is the user's own in any case."""
    sandbox_id = create(env={"HOME": "/tmp", "USER": "me"})
    shown = result_of(gateway, sandbox_id, "echo $HOME $USER ~; pwd; cd; pwd")
    assert shown["output"] == "/tmp me /tmp\n/home/user\n/tmp\n"


def test_a_session_and_a_terminal_have_it_too(gateway: GatewayProcess, create: Any) -> None:
    """Whatever way a command runs."""
    sandbox_id = create(env={"STAGE": "test", "HOME": "/tmp"})
    with connect(gateway, sandbox_id) as connection:
        for way in ({"session": "s"}, {"tty": {"cols": 80, "rows": 24}}, {"stdin": ""}):
            output = connection.run("echo $STAGE $HOME", **way)["output"]
            assert output.split() == ["test", "/tmp"]


def test_a_commands_own_variable_wins(gateway: GatewayProcess, create: Any) -> None:
    """The nearer word counts."""
    sandbox_id = create(env={"STAGE": "test", "HOME": "/tmp"})
    shown = result_of(gateway, sandbox_id, "echo $STAGE $HOME", env={"STAGE": "x", "HOME": "/usr"})
    assert shown["output"] == "x /usr\n"


@pytest.mark.parametrize("name", ["AGENT_ENV_X", "AGENT_ENV_", "AGENT_COMMAND_ID"])
def test_the_gateways_own_names_are_refused(gateway: GatewayProcess, name: str) -> None:
    """Under them it keeps what users give."""
    answer = gateway.post("/sandboxes", json={"env": {name: "x"}})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_fields")


@pytest.mark.parametrize("what", ["python3", "python3 and bash"])
def test_it_holds_without_an_agent(own_gateway: Any, what: str) -> None:
    """Where each command is a docker exec; and there a dash is no option either."""
    with image_without(what) as tag:
        gateway: GatewayProcess = own_gateway(image=tag, images=tag, workers="1").start_ready()
        created = gateway.post(
            "/sandboxes", json={"env": {"PATH": "$PATH:/opt/bin", "HOME": "/tmp", "A": "b c"}}
        )
        assert created.status_code == 201, created.text
        sandbox_id = created.json()["sandbox_id"]
        shown = result_of(gateway, sandbox_id, 'echo "$PATH|$HOME|$A"; pwd')
        assert shown["output"] == "$PATH:/opt/bin|/tmp|b c\n/home/user\n"
        for command in ("--version", "-x", "+e"):
            assert result_of(gateway, sandbox_id, command)["returncode"] == 127
        gateway.delete(f"/sandboxes/{sandbox_id}")
