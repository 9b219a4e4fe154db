"""Which containers a worker holds links into before anybody asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import gevent
import pytest

from gateway.errors import AgentUnavailable, StoreUnavailable
from gateway.sandboxes.create import pool_links
from gateway.sandboxes.create.pool_links import Standby
from tests.support.change_feeds import quiet_feed


class World:
    """A pool, and links into its containers."""

    def __init__(self) -> None:
        self.pooled: set[str] = set()
        self.held: list[str] = []
        self.linked: list[str] = []
        self.dead: set[str] = set()
        self.is_broken = False

    def containers(self) -> set[str]:
        if self.is_broken:
            raise StoreUnavailable("the disk is full")
        return set(self.pooled)

    @contextmanager
    def using(self, container_id: str) -> Iterator[None]:
        self.held.append(container_id)
        try:
            yield
        finally:
            self.held.remove(container_id)

    def warm_up(self, container_id: str) -> None:
        if container_id in self.dead:
            raise AgentUnavailable("frozen")
        self.linked.append(container_id)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def held(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Standby]:
    monkeypatch.setattr(pool_links, "LOOK_S", 0.01)
    made = Standby(world.containers, world.using, world.warm_up, quiet_feed())
    yield made
    made.close()


def test_each_is_held_once_and_until_it_is_taken(world: World, held: Standby) -> None:
    world.pooled = {"a", "b"}
    held.look()
    held.look()
    assert sorted(world.held) == ["a", "b"]
    world.pooled = {"b", "c"}
    held.look()
    assert sorted(world.held) == ["b", "c"]
    held.close()
    assert world.held == []


def test_one_that_cannot_be_linked_hinders_no_other(world: World, held: Standby) -> None:
    """And is tried again, as is one whose link was lost."""
    world.pooled = {"a", "b", "c"}
    world.dead = {"b"}
    held.look()
    assert set(world.linked) == {"a", "c"}
    world.dead = set()
    held.look()
    assert "b" in world.linked


def test_it_goes_on_when_the_store_fails(
    world: World, held: Standby, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_links, "LOOK_S", 0.01)
    world.pooled = {"a"}
    world.is_broken = True
    held.start()
    gevent.sleep(0.05)
    assert world.held == []
    world.is_broken = False
    gevent.sleep(0.05)
    assert world.held == ["a"]
