"""The time of gevent's loop, and the databases that the store's contract is tested with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest

from tests.support.postgres_server import PostgresServer, server_programs


@pytest.fixture(autouse=True)
def _the_loop_knows_the_time() -> None:
    """gevent counts a time limit from when its loop last ran: after seconds of tests without it, a
    limit of five seconds would be over when it begins."""
    gevent.get_hub().loop.update_now()


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One for all tests of this process."""
    programs = server_programs()
    if programs is None:
        pytest.skip("no PostgreSQL server is installed here (Debian's package `postgresql`)")
    server = PostgresServer(programs)
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new store may be: what `Database` takes."""
    if request.param == "sqlite":
        return str(tmp_path / "data" / "gateway.db")
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.new_place()
