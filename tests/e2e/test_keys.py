"""Keys while the gateway runs: rotated, and limited in their rate over all workers."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from gateway.identity.keys import line_of
from tests.support.clients import connect
from tests.support.eventually import always, eventually
from tests.support.keys import ALICE, BOB, NOBODYS, bearer
from tests.support.problems import problem_of


def test_keys_are_rotated_without_a_restart(own_gateway: Any, tmp_path: Path) -> None:
    """In every worker within two seconds. The sandbox stays the tenant's, the old key's
    connections end, and a broken file changes nothing but the log."""
    keys = tmp_path / "keys"
    keys.write_text(line_of("alice", ALICE) + "\n")
    gateway = own_gateway(api_keys_file=str(keys))
    gateway.headers = bearer(ALICE)
    gateway.start_ready()
    sandbox_id = gateway.create()
    path = f"/sandboxes/{sandbox_id}"
    client = connect(gateway, sandbox_id, header=bearer(ALICE))
    assert client.output_of("echo in") == "in\n"

    def statuses(key: str) -> set[int]:
        return {gateway.get(path, headers=bearer(key)).status_code for _ in range(8)}

    keys.write_text(f"{line_of('alice', ALICE)}\n{line_of('alice', NOBODYS)}\n")
    eventually(lambda: statuses(NOBODYS) == {200}, within_s=5)
    assert statuses(ALICE) == {200}

    replacement = tmp_path / "replacement"
    replacement.write_text(line_of("alice", NOBODYS) + "\n")
    os.replace(replacement, keys)
    eventually(lambda: statuses(ALICE) == {401}, within_s=5)
    assert statuses(NOBODYS) == {200}
    assert client.read_to_close(within_s=5) == ([], 1008)

    keys.write_text("alice sha256:oops\n")

    def reported() -> bool:
        assert statuses(NOBODYS) == {200}
        return "the old keys stay valid" in gateway.log()

    eventually(reported, within_s=5)
    keys.unlink()
    always(lambda: statuses(NOBODYS) == {200}, for_s=1.5)
    assert gateway.get("/healthz").status_code == 200


def test_the_request_rate_holds_over_all_workers(own_gateway: Any, tmp_path: Path) -> None:
    """Exactly what the limit allows, whichever worker is asked; other keys are not slowed."""
    keys = tmp_path / "keys"
    keys.write_text(f"{line_of('alice', ALICE)} rate=5/s\n{line_of('bob', BOB)}\n")
    gateway = own_gateway(api_keys_file=str(keys), workers="3")
    gateway.start()

    begun = time.monotonic()
    answers = [gateway.get("/sandboxes", headers=bearer(ALICE)) for _ in range(40)]
    took_s = time.monotonic() - begun

    served = [answer for answer in answers if answer.status_code == 200]
    assert 5 <= len(served) <= 5 + 5 * took_s + 1
    refused = [answer for answer in answers if answer.status_code != 200]
    assert refused
    for answer in refused:
        assert problem_of(answer, 429)["code"] == "rate_limited"
        assert answer.headers["Retry-After"] == "1"
    assert {gateway.get("/sandboxes", headers=bearer(BOB)).status_code for _ in range(20)} == {200}
    time.sleep(1.1)  # what Retry-After has said
    assert gateway.get("/sandboxes", headers=bearer(ALICE)).status_code == 200
