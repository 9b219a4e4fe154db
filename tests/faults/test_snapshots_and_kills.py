"""`kill -9` of the whole gateway while snapshots, forks and restores are made: nothing is half
there, and nothing is left."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.leak_oracle import HostRemains, same_snapshots, snapshot_files
from tests.support.rest_commands import run
from tests.support.rounds import rounds

ROUNDS = rounds(4, 100)

WITHIN_S = 40.0
"""The housekeeper compares disk and store every ten seconds."""


@pytest.mark.timeout(3600)
def test_a_killed_gateway_leaves_whole_snapshots_or_none(own_gateway) -> None:
    """After each kill and restart: the files on the disk are those of the snapshots that are
    listed, the sandbox runs and has one of the contents that it may have, each snapshot can be
    used, and there is no container but the sandboxes', no mount and no loop device without one."""
    gateway: GatewayProcess = own_gateway(pool_size="0").start_ready()
    box = gateway.create(disk_mb=64)
    assert run(gateway, box, "head -c 3M /dev/urandom > ~/f; sha256sum ~/f > ~/sum").ok
    base = gateway.post(f"/sandboxes/{box}/snapshots", json={"name": "base"}).json()

    def ask(path: str, body: dict[str, object]) -> None:
        try:
            gateway.post(path, json=body)
        except requests.RequestException:
            return  # it was killed

    def is_whole() -> bool:
        assert same_snapshots(gateway)
        assert base["snapshot_id"] in snapshot_files(gateway)
        assert set(gateway.engine.containers()) == gateway.listed()
        answer = run(gateway, box, "sha256sum -c ~/sum")
        assert answer.ok, answer.text
        assert answer.json()["returncode"] == 0, answer.text
        return True

    for _ in range(ROUNDS):
        host = HostRemains(gateway.engine.api)
        work = [
            (f"/sandboxes/{box}/snapshots", {}),
            (f"/sandboxes/{box}/restore", {"snapshot": "base"}),
            (f"/sandboxes/{box}/fork", {"count": 2}),
            ("/sandboxes", {"snapshot": "base"}),
        ]
        random.shuffle(work)
        with ThreadPoolExecutor(2) as threads:
            asked = [threads.submit(ask, *one) for one in work]
            moment = time.monotonic() + random.uniform(0, 1.5)
            eventually(lambda at=moment: time.monotonic() > at, every_s=0.01)
            gateway.kill()
            for one in asked:
                one.result()
        gateway.start_ready()
        eventually(is_whole, within_s=WITHIN_S)
        eventually(host.nothing_new_is_left, within_s=WITHIN_S, every_s=0.3)
        for sandbox_id in gateway.listed() - {box}:
            assert run(gateway, sandbox_id, "sha256sum -c ~/sum").json()["returncode"] == 0
            gateway.delete(f"/sandboxes/{sandbox_id}")
        for one in gateway.get("/snapshots").json():
            if one["name"] is None:
                gateway.delete(f"/snapshots/{one['snapshot_id']}")

    assert gateway.delete("/snapshots/base").status_code == 204
    eventually(lambda: snapshot_files(gateway) == set(), within_s=WITHIN_S)
