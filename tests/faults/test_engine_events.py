"""The stream of the engine's events breaks: what happened meanwhile is noticed all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.clients import connect
from tests.support.engine_proxy import EngineProxy
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess

NOTICED_S = 5.0


@pytest.mark.parametrize("away_s", [0.0, 3.0], ids=["cut", "away"])
def test_what_ends_while_the_events_are_cut_is_noticed_soon_after(
    own_gateway: Callable[..., GatewayProcess], tmp_path: Path, away_s: float
) -> None:
    """The event of its end has passed unheard. Clients that only listen have no other way to
    learn it, so the gateway has to look by itself as soon as it hears again."""
    with EngineProxy(tmp_path / "engine.sock") as proxy:
        proxy.open()
        gateway = own_gateway().start(DOCKER_HOST=proxy.url)
        sandbox_id = gateway.create()
        client = connect(gateway, sandbox_id)
        # The first comparison after the start is over.
        assert client.output_of("sleep 1; echo well") == "well\n"

        proxy.close()
        gateway.engine.remove(sandbox_id)
        with pytest.raises(TimeoutError):
            client.receive(within_s=max(away_s, 0.05))
        proxy.open()

        messages, code = client.read_to_close(within_s=NOTICED_S)
        assert [message["type"] for message in messages] == ["ended"]
        assert code == 1001
        eventually(lambda: gateway.status_of(sandbox_id) == "404")
