"""Forks: what could not be made is told one by one, whatever it was."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import CapacityExhausted, GatewayError
from gateway.sandboxes.snapshots.forking import Forking
from gateway.sandboxes.spec.owner_limits import EVERYBODY
from gateway.schemas.models import SandboxCreate
from tests.support.rows import row_of


class _Creation:
    """Makes sandboxes, or fails, in this order."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)

    def create(self, _request: SandboxCreate, **_: Any) -> Any:
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(view=answer)


def test_an_unforeseen_error_of_one_is_its_own(caplog: pytest.LogCaptureFixture) -> None:
    """The others are made: whoever asked must learn which, or they run until they are idle for too
    long. The log has the error; the snapshot of the fork goes."""
    given_up: list[object] = []
    forking = Forking(
        taking=SimpleNamespace(take=lambda _sandbox_id, kind: "moment"),  # type: ignore[arg-type]
        keeping=SimpleNamespace(give_up=given_up.append),  # type: ignore[arg-type]
        creation=_Creation("first", ValueError("unforeseen"), CapacityExhausted(), "last"),
        check=SimpleNamespace(live=lambda _sandbox_id: row_of()),  # type: ignore[arg-type]
    )

    forks = forking.fork("s", SandboxCreate(), 4, owner=EVERYBODY, has_left=lambda: False)

    assert [one.view for one in forks] == ["first", None, None, "last"]
    codes = [one.error.code if one.error else None for one in forks]
    assert codes == [None, GatewayError.code, CapacityExhausted.code, None]
    assert given_up == ["moment"]
    assert "unforeseen" in caplog.text
