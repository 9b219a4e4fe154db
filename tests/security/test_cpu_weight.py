"""However many sandboxes a tenant has, together they weigh as much as another's single one; and who
computes all the time goes after who does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gateway.host.cpu_groups import group_of
from gateway.host.cpu_weight import BUSY, QUIET
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess

KEYS = {name: f"sgk_{name * 8:_<40}" for name in ("alice", "bob")}


def _weight(gateway: GatewayProcess, sandbox_id: str) -> float:
    """Of what a container has by itself."""
    container = gateway.engine.api.inspect_container(gateway.engine.container_of(sandbox_id))
    return group_of(Path(f"/proc/{container['State']['Pid']}/cgroup").read_text()).part()


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

    eventually(
        lambda: [round(_weight(gateway, s), 1) for s in many] == [round(QUIET / 3, 1)] * 3,
        within_s=15,
    )
    assert _weight(gateway, single) == QUIET

    gateway.headers = {"X-API-Key": KEYS["alice"]}
    gateway.delete(f"/sandboxes/{many[0]}")
    eventually(
        lambda: [round(_weight(gateway, s), 1) for s in many[1:]] == [QUIET / 2] * 2, within_s=15
    )


def test_who_computes_all_the_time_goes_after_who_does_not(
    own_gateway: Callable[..., GatewayProcess],
) -> None:
    """Shells that fork without an end made each step of another tenant's command wait for a tenth
    of a second and longer. Afterwards both are equal again. A container that a restore starts again
    has what the kernel gives a new one, until it is looked at."""
    keys = ",".join(f"{name}:{key}" for name, key in KEYS.items())
    gateway = own_gateway(api_keys=keys, cpus=str(os.cpu_count()))
    gateway.headers = {"X-API-Key": KEYS["alice"]}
    gateway.start_ready()
    busy, quiet = _create(gateway, "alice"), _create(gateway, "bob")
    gateway.headers = {"X-API-Key": KEYS["alice"]}
    forks = "for n in $(seq 8); do (while :; do (:); done) & done; wait"

    gateway.post(
        f"/sandboxes/{busy}/commands",
        json={"command": forks, "background": True, "request_id": "forks"},
    )
    eventually(lambda: _weight(gateway, busy) == BUSY, within_s=15)
    assert _weight(gateway, quiet) == QUIET

    gateway.headers = {"X-API-Key": KEYS["bob"]}
    snapshot = gateway.post(f"/sandboxes/{quiet}/snapshots").json()["snapshot_id"]
    restored = gateway.post(f"/sandboxes/{quiet}/restore", json={"snapshot": snapshot})
    assert restored.status_code == 200, restored.text
    eventually(lambda: _weight(gateway, quiet) == QUIET, within_s=15)
    assert gateway.delete(f"/snapshots/{snapshot}").status_code == 204

    gateway.headers = {"X-API-Key": KEYS["alice"]}
    gateway.post(f"/sandboxes/{busy}/commands/forks/signal", json={"signal": "KILL"})
    eventually(lambda: _weight(gateway, busy) == QUIET, within_s=30)
