"""The edge from outside: who sees the host, whose word is taken, and what counts as a request."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.identity.keys import line_of
from gateway.logs.line_budget import LINES_PER_S
from tests.support.clients import connect
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE, BOB, NOBODYS, bearer
from tests.support.plain_http import answer_of, exchange
from tests.support.problems import problem_of


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Bob runs it; alice may ask twice a second."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(
        f"{line_of('alice', ALICE)} rate=2/s\n{line_of('bob', BOB)}\n{line_of('eve', NOBODYS)}\n"
    )
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("operated"), api_keys_file=str(keys), operators="bob"
    )
    gateway.headers = bearer(BOB)
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


def test_only_an_operator_sees_the_host(operated: GatewayProcess) -> None:
    """Versions with their holes, and the totals of all tenants."""
    shown = operated.get("/readyz").json()
    assert {*shown} == {"status", "checks", "posture"}
    assert operated.get("/metrics").status_code == 200

    tenants = {"headers": bearer(NOBODYS)}
    assert operated.get("/readyz", **tenants).json() == {"status": "ready"}
    refused = problem_of(operated.get("/metrics", **tenants), 403)
    assert refused["code"] == "operators_only"


@pytest.mark.parametrize(
    "field",
    [
        "SCRIPT_NAME: /healthz",
        "SCRIPT_NAME: /elsewhere",
        "PATH_INFO: /sandboxes",
        "X-Forwarded-Proto: https",
        "X-Forwarded-Proto: ftp",
        "X-Forwarded-Ssl: on",
        "REMOTE_ADDR: 192.0.2.7",
    ],
)
def test_no_header_moves_a_request(gateway: GatewayProcess, field: str) -> None:
    """gunicorn takes some from any client on loopback: `SCRIPT_NAME` made a 500."""
    sent = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\n{field}\r\nConnection: close\r\n\r\n"

    answer = answer_of(exchange(gateway, sent.encode()))

    assert answer.status == 200
    assert json.loads(answer.body) == {"status": "ok"}


def test_contradicting_words_about_the_scheme_are_not_heard(gateway: GatewayProcess) -> None:
    """They were a 400 from a client on loopback."""
    fields = "X-Forwarded-Proto: https\r\nX-Forwarded-Ssl: off\r\n"
    sent = f"GET /healthz HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\n\r\n"

    assert answer_of(exchange(gateway, sent.encode())).status == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        ("GET /sandboxes HTTP/1.1\r\nHost: evil.example@localhost", 403),
        ("GET /sandboxes HTTP/1.1\r\nHost: localhost:", 403),
        ("GET /sandboxes HTTP/1.1\r\nHost: localhost\r\nHost: localhost", 400),
        ("GET /sandboxes HTTP/1.1\r\nHost: localhost\r\nHost: evil.example", 400),
        ("GET /sandboxes HTTP/1.1", 403),
        ("GET /sandboxes HTTP/1.0", 403),
        ("GET http://evil.example/sandboxes HTTP/1.1\r\nHost: localhost", 403),
        ("GET http://localhost@evil.example/sandboxes HTTP/1.1\r\nHost: localhost", 403),
        ("GET http://localhost/sandboxes HTTP/1.1\r\nHost: localhost", 200),
        ("CONNECT localhost:8003 HTTP/1.1\r\nHost: localhost:8003", 403),
    ],
)
def test_who_is_asked_is_said_once_and_plainly(
    gateway: GatewayProcess, head: str, status: int
) -> None:
    """What two readers may take for two hosts is refused."""
    answer = answer_of(exchange(gateway, f"{head}\r\nConnection: close\r\n\r\n".encode()))

    assert answer.status == status


def test_malformed_requests_do_not_fill_the_log(gateway: GatewayProcess) -> None:
    """A line each, with the client's own words in it, was 8 kB a time."""
    before = len(gateway.log())

    for number in range(200):
        sent = f"GET /\x01{'x' * 3000}{number} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        assert answer_of(exchange(gateway, sent.encode())).status == 400

    added = gateway.log()[before:]
    assert len(added) < 60_000
    assert "\x01" not in added


def test_requests_that_fail_do_not_fill_the_log(own_gateway: Callable[..., GatewayProcess]) -> None:
    """A line for each 503: a host that is full, or an engine that is away, was a way to write as
    many as one can ask for."""
    gateway = own_gateway(max="1", queue_wait="0", workers="1").start_ready()
    gateway.create()
    logged, begun = len(gateway.log()), time.monotonic()

    for _ in range(100):
        assert gateway.post("/sandboxes").status_code == 503

    may_be = LINES_PER_S * (time.monotonic() - begun + 1) + 1
    said = [line for line in gateway.log()[logged:].splitlines() if "capacity_exhausted" in line]
    assert 1 <= len(said) <= min(may_be, 90), said


def test_a_keys_rate_counts_what_is_asked_on_a_websocket(operated: GatewayProcess) -> None:
    """One connection asked as often as it liked. Pings stay free."""
    sandbox_id = eventually(lambda: _created(operated))
    client = eventually(lambda: _connected(operated, sandbox_id))
    with client:
        for _ in range(20):
            client.ask("true")
        client.send({"type": "list"})
        answers = [client.receive() for _ in range(21)]
        refused = [one for one in answers if one.get("code") == "rate_limited"]
        assert len(refused) >= 15
        assert [one for one in answers if "returncode" in one or one.get("type") == "commands"]
        assert all(one["request_id"] for one in refused if "request_id" in one)

        for _ in range(10):
            client.send({"type": "ping"})
        assert {client.receive()["type"] for _ in range(10)} == {"pong"}

        def is_served_again() -> bool:
            client.ask("echo again")
            return client.receive().get("output") == "again\n"

        eventually(is_served_again, every_s=0.6)


def _created(gateway: GatewayProcess) -> str | None:
    answer = gateway.post("/sandboxes", headers=bearer(ALICE))
    return answer.json()["sandbox_id"] if answer.status_code == 201 else None


def _connected(gateway: GatewayProcess, sandbox_id: str):  # type: ignore[no-untyped-def]
    return connect(gateway, sandbox_id, header=bearer(ALICE))


def test_asking_for_readiness_costs_no_more_than_asking_for_life(gateway: GatewayProcess) -> None:
    """Each looked at the host anew: 27 ms of a worker, and six loops raised others' answers from 8
    to 105 ms. In processor time, which does not depend on what else the machine does."""
    asked = 50
    alive = min(_processor_s(gateway, "/healthz", asked) for _ in range(2))

    assert _processor_s(gateway, "/readyz", asked) < 4 * alive


def _processor_s(gateway: GatewayProcess, path: str, asked: int) -> float:
    """What the workers, and the programs that they ran, take for so many requests."""

    def taken() -> float:
        return sum(sum(worker.cpu_times()[:4]) for worker in gateway.workers())

    before = taken()
    for _ in range(asked):
        assert gateway.get(path).status_code == 200
    return taken() - before


def test_files_are_the_owners_only(operated: GatewayProcess) -> None:
    """Database, secrets, audit log and locks: other users of the machine read none of them."""
    found = [operated.data_dir, *operated.data_dir.rglob("*")]

    open_to_others = [
        str(path.relative_to(operated.data_dir))
        for path in found
        if path.exists() and not path.is_symlink() and path.stat().st_mode & 0o077
    ]

    assert len(found) > 10
    assert open_to_others == []


def test_an_open_data_directory_is_closed_at_the_start(tmp_path: Path) -> None:
    """One that an earlier version, or an operator, left open to other users."""
    gateway = GatewayProcess(tmp_path)
    gateway.data_dir.mkdir(mode=0o755)
    gateway.data_dir.chmod(0o755)
    old = gateway.data_dir / "gateway.db"
    old.touch(mode=0o644)
    try:
        gateway.start()
        eventually(lambda: not gateway.data_dir.stat().st_mode & 0o077)
        assert not old.stat().st_mode & 0o077
    finally:
        gateway.close()
