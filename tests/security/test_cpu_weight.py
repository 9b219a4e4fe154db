"""However many sandboxes a tenant has, together they weigh as much as another's single one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gateway.host.cpu_weight import weight_of
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess

KEYS = {name: f"sgk_{name * 8:_<40}" for name in ("alice", "bob")}


def _weight(gateway: GatewayProcess, sandbox_id: str) -> float:
    """Of what a container has by itself."""
    container = gateway.engine.api.inspect_container(gateway.engine.container_of(sandbox_id))
    groups = Path(f"/proc/{container['State']['Pid']}/cgroup").read_text()
    path, whole = weight_of(groups, 1)
    return int(path.read_text()) / whole


def _create(gateway: GatewayProcess, name: str) -> str:
    gateway.headers = {"X-API-Key": KEYS[name]}
    return gateway.create()


def test_an_owner_weighs_the_same_whatever_it_has(
    own_gateway: Callable[..., GatewayProcess],
) -> None:
    """Those from the pool and those made cold; and what is left has more when one has gone."""
    keys = ",".join(f"{name}:{key}" for name, key in KEYS.items())
    gateway = own_gateway(api_keys=keys, pool_size="1", operators="alice")
    gateway.headers = {"X-API-Key": KEYS["alice"]}
    gateway.start_ready()
    many = [_create(gateway, "alice") for _ in range(3)]
    single = _create(gateway, "bob")

    eventually(lambda: [round(_weight(gateway, s), 1) for s in many] == [0.3] * 3, within_s=15)
    assert _weight(gateway, single) == 1.0

    gateway.headers = {"X-API-Key": KEYS["alice"]}
    gateway.delete(f"/sandboxes/{many[0]}")
    eventually(lambda: [round(_weight(gateway, s), 1) for s in many[1:]] == [0.5] * 2, within_s=15)
