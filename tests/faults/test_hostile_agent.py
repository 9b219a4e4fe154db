"""A program in a sandbox takes its agent's place: every byte from it is hostile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.clients import connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.hostile_agent import HELLO, SERVE, hostile_agent


@pytest.fixture(scope="module", params=["auto", "exec"])
def shared_gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """One worker, so that nobody else answers for it; both ways to an agent."""
    directory = tmp_path_factory.mktemp(f"hostile-{request.param}")
    gateway = GatewayProcess(directory, workers="1", link=request.param)
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


def test_it_is_taken_for_the_agent(gateway: GatewayProcess, sandbox: str) -> None:
    """Who owns the socket is the agent, as far as a gateway can know: what it says is passed on as
    the command's end, and nobody else hears of it."""
    way = "exec" if "exec" in str(gateway.directory) else "direct"
    with hostile_agent(gateway, sandbox, [HELLO, SERVE]) as agent, connect(gateway, sandbox) as c:

        def ends_at_its_word() -> bool:
            answer = c.run("echo never run")
            # The link before it was that of the agent which is dead now.
            return (answer.get("returncode"), answer.get("output")) == (0, "")

        eventually(ends_at_its_word)
        assert agent.was_asked("run")
        assert f"link {way}" in agent.notes()
