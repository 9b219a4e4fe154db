"""What fails because a sandbox ends meanwhile is told as its end, and nothing else is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from gateway.errors import (
    ContainerGone,
    EngineRefused,
    EngineTimeout,
    GatewayError,
    HostToolFailed,
    SandboxNotFound,
    StoreUnavailable,
)
from gateway.sandboxes.life.sandbox_check import SandboxCheck
from gateway.store.database import Database
from gateway.store.end_records import EndRecordStore
from gateway.store.sandboxes import SandboxStore
from tests.support.rows import row_of

OF_THE_SANDBOX = [
    EngineRefused("Container 1 is not paused"),
    EngineTimeout("30 s"),
    HostToolFailed("mount: no such device"),
]


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with closing(Database(tmp_path / "store.db")) as store:
        SandboxStore(store).adopt(row_of(sandbox_id="box", state="ready", container_id="c"))
        yield store


@pytest.fixture
def check(database: Database) -> SandboxCheck:
    unused = SimpleNamespace(mark=0, seen_in=list)
    return SandboxCheck(SandboxStore(database), *(unused,) * 3, list, unused, unused)  # type: ignore[arg-type]


def _failing(check: SandboxCheck, failure: GatewayError) -> None:
    with check.until_it_ends("box"):
        raise failure


@pytest.mark.parametrize("failure", OF_THE_SANDBOX, ids=lambda failure: failure.code)
def test_of_a_sandbox_that_ends(
    database: Database, check: SandboxCheck, failure: GatewayError
) -> None:
    """The reason of its end is told, whatever the engine made of it."""
    assert EndRecordStore(database).claim_removal("box", "deleted", worker_id="w1")
    with pytest.raises(SandboxNotFound) as told:
        _failing(check, failure)
    assert told.value.members["ended"]["reason"] == "deleted"


@pytest.mark.parametrize("failure", OF_THE_SANDBOX, ids=lambda failure: failure.code)
def test_of_one_that_lives(check: SandboxCheck, failure: GatewayError) -> None:
    with pytest.raises(type(failure)):
        _failing(check, failure)


def test_of_one_that_ends_of_it(database: Database, check: SandboxCheck) -> None:
    """What the engine failed at is the reason of the end, and not the other way round."""
    records = EndRecordStore(database)
    assert records.claim_removal("box", "exited", "it does not start any more", worker_id="w1")
    with pytest.raises(EngineRefused):
        _failing(check, EngineRefused("cannot start"))


def test_of_one_whose_container_has_gone(check: SandboxCheck) -> None:
    """Before anybody has noted its end."""
    with pytest.raises(SandboxNotFound):
        _failing(check, ContainerGone("c"))


def test_other_faults_stay_what_they_are(database: Database, check: SandboxCheck) -> None:
    assert EndRecordStore(database).claim_removal("box", "deleted", worker_id="w1")
    with pytest.raises(StoreUnavailable):
        _failing(check, StoreUnavailable("locked"))
