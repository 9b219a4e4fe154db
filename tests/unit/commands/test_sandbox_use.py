"""The one scope in which clients and requests use sandboxes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from gateway.errors import (
    ContainerGone,
    GatewayError,
    SandboxNotFound,
    StoreUnavailable,
    TooManyCommands,
)
from gateway.use.sandbox_use import LINK_KEPT_S, SandboxUse, SandboxUses
from tests.unit.api.rest.fakes import FakeLease


class World:
    """Leases, the link and the watch over what runs, noted in the order of what is done to them."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.failure: GatewayError | None = None
        self.is_there = True

    def lease(self, sandbox_id: str) -> FakeLease:
        self.done.append("lease")
        return FakeLease(sandbox_id, f"container-of-{sandbox_id}")

    def release(self, lease: FakeLease) -> None:
        if self.failure is not None:
            raise self.failure
        self.done.append(f"release {lease.sandbox_id}")

    def keep(self, lease: FakeLease) -> None:
        self.done.append(f"keep {lease.sandbox_id}")

    def get(self, sandbox_id: str) -> object:
        if not self.is_there:
            raise SandboxNotFound(sandbox_id)
        return sandbox_id

    def ended_among(self, sandbox_ids: set[str]) -> dict[str, str]:
        return dict.fromkeys(sandbox_ids, "oom")

    @contextmanager
    def using(self, container_id: str, linger_s: float) -> Iterator[None]:
        self.done.append(f"link {container_id} {linger_s:g}")
        try:
            yield
        finally:
            self.done.append("unlink")


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def uses(world: World) -> SandboxUses:
    return SandboxUses(world, world, world)


def _use_in_vain(
    using: AbstractContextManager[SandboxUse], failure: Exception, may_run: bool = True
) -> None:
    with using as use:
        use.may_run = may_run
        raise failure


def test_a_request_leaves_the_link_for_the_next(world: World, uses: SandboxUses) -> None:
    """And the lease is given back last: no cleanup comes while the link is let go."""
    with uses.of("a1"):
        pass

    link = f"link container-of-a1 {LINK_KEPT_S:g}"
    assert world.done == ["lease", link, "unlink", "release a1"]


def test_a_clients_link_goes_with_it(world: World, uses: SandboxUses) -> None:
    """A connection lasts; nobody is expected after it."""
    with uses.begin("a1") as use, use.linked():
        pass

    assert world.done == ["lease", "link container-of-a1 0", "unlink", "release a1"]


@pytest.mark.parametrize(("may_run", "end"), [(True, "keep a1"), (False, "release a1")])
def test_an_unexpected_failure_gives_the_lease_back(
    world: World, uses: SandboxUses, may_run: bool, end: str
) -> None:
    """Else the sandbox would not be idle before the worker ends."""
    with pytest.raises(ZeroDivisionError):
        _use_in_vain(uses.begin("a1"), ZeroDivisionError(), may_run)

    assert world.done == ["lease", end]


def test_ending_may_be_repeated(world: World, uses: SandboxUses) -> None:
    """The guard and the handler of a WebSocket both see to it."""
    use = uses.begin("a1")
    use.end()
    use.may_run = True
    use.end()

    assert world.done == ["lease", "release a1"]


def test_a_lease_that_cannot_be_given_back_now_is_given_back_later(
    world: World, uses: SandboxUses
) -> None:
    """Whoever watches what runs tries again."""
    world.failure = StoreUnavailable("busy")
    with uses.begin("a1"):
        pass

    assert world.done == ["lease", "keep a1"]


@pytest.mark.parametrize("is_there", [True, False])
def test_a_sandbox_that_ends_meanwhile_is_not_found(
    world: World, uses: SandboxUses, is_there: bool
) -> None:
    """Only where it has ended; else what went wrong is told as it is."""
    world.is_there = is_there
    with pytest.raises(ContainerGone if is_there else SandboxNotFound):
        _use_in_vain(uses.of("a1"), ContainerGone("x"))

    assert world.done[-1] == "keep a1"
    assert uses.end_of("a1") == (None if is_there else "oom")


def test_what_was_refused_does_not_run(world: World, uses: SandboxUses) -> None:
    """Its lease is not kept."""
    with pytest.raises(TooManyCommands):
        _use_in_vain(uses.of("a1"), TooManyCommands("x"))

    assert world.done[-1] == "release a1"
