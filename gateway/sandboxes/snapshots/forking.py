"""Forks: several sandboxes with the files of one, all of one moment."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import gevent

from gateway.errors import GatewayError
from gateway.sandboxes.life.sandbox_check import SandboxCheck
from gateway.sandboxes.life.sandbox_view import SandboxView
from gateway.sandboxes.snapshots.keeping import Keeping
from gateway.sandboxes.snapshots.taking import Taking
from gateway.sandboxes.spec.owner_limits import Owner
from gateway.sandboxes.spec.sandbox_spec import option_of
from gateway.schemas.models import SandboxCreate
from gateway.store.rows import SandboxRow
from gateway.store.snapshots import SnapshotRow

log = logging.getLogger(__name__)


class CreatedView(Protocol):
    """What came of a create."""

    @property
    def view(self) -> SandboxView: ...


class Creates(Protocol):
    """Creates sandboxes."""

    def create(
        self,
        request: SandboxCreate,
        *,
        owner: Owner,
        has_left: Callable[[], bool],
        base: SnapshotRow,
    ) -> CreatedView:
        """See `gateway.sandboxes.create.creation.Creation.create`."""


@dataclass(frozen=True)
class Forked:
    """One of the copies: what it is, or why there is none."""

    view: SandboxView | None
    error: GatewayError | None


class Forking:
    """Forks sandboxes: the limits of a create hold for each copy."""

    def __init__(
        self, taking: Taking, keeping: Keeping, creation: Creates, check: SandboxCheck
    ) -> None:
        self._taking = taking
        self._keeping = keeping
        self._creation = creation
        self._check = check

    def fork(
        self,
        sandbox_id: str,
        request: SandboxCreate,
        count: int,
        *,
        owner: Owner,
        has_left: Callable[[], bool],
    ) -> list[Forked]:
        """`count` new sandboxes, each made or told why not, in no particular order.

        Raises what `Taking.take` does: then none was made.
        """
        source = self._check.live(sandbox_id)
        wanted = request.model_copy(update=_inherited(source, request))
        moment = self._taking.take(sandbox_id, kind="fork")
        try:

            def make() -> Forked:
                try:
                    made = self._creation.create(
                        wanted, owner=owner, has_left=has_left, base=moment
                    )
                except GatewayError as error:
                    return Forked(None, error)
                except Exception:  # the others are made, and must be told
                    log.exception("a fork of %s failed", sandbox_id)
                    return Forked(None, GatewayError())
                return Forked(made.view, None)

            copies = [gevent.spawn(make) for _ in range(count)]
            try:
                gevent.joinall(copies, raise_error=True)
            finally:
                gevent.killall(copies)
            return [copy.value for copy in copies]
        finally:
            self._keeping.give_up(moment)


def _inherited(source: SandboxRow, request: SandboxCreate) -> dict[str, object]:
    has = {
        "isolation": source.isolation,
        "cpus": source.cpus,
        "memory_mb": source.memory_mb,
        "pids": source.pids,
        "disk_mb": source.disk_mb,
        "network": source.network,
        "root": option_of(source, "root"),
        "idle_timeout": source.idle_timeout_s,
        "idle_action": source.idle_action,
        "timeout_action": option_of(source, "timeout_action"),
    }
    return {name: value for name, value in has.items() if name not in request.model_fields_set}
