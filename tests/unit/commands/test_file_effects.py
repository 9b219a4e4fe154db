"""Checkpoints before commands and their changes after: by services that say what was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gevent
import pytest

from gateway.commands import file_effects
from gateway.commands.command_spec import CommandSpec, spec_of
from gateway.commands.file_effects import FileEffects
from gateway.commands.known_command import known_of
from gateway.commands.run_once import OnceRegister
from gateway.commands.watches import Watch
from gateway.errors import (
    CommandLost,
    HostToolFailed,
    SnapshotsMissing,
    StoreUnavailable,
    TooManyCommands,
    TooManySnapshots,
    TooMuchUnread,
)
from gateway.schemas.command_effects import CommandEffects
from gateway.schemas.command_event import Started
from gateway.schemas.models import CommandRequest
from gateway.store.command_changes import Noted
from gateway.store.once import Claim

TOLD = {"added": ["/a"]}


@dataclass(frozen=True)
class Box:
    sandbox_id: str = "box"
    container_id: str = "c"
    owner: str = "alice"


@dataclass(frozen=True)
class Taken:
    snapshot_id: str


class World:
    """All that `FileEffects` asks for. `fails` raises by name; `alive` are workers."""

    def __init__(self) -> None:
        self.fails: dict[str, Exception] = {}
        self.taken: list[str] = []
        self.looks: set[int] = set()
        self.rows: dict[str, Noted] = {}
        self.claims: dict[str, Claim] = {}
        self.alive = {"me"}
        self.ended = gevent.event.Event()
        self.effects = FileEffects(
            self,
            lambda one: self.taken.remove(one.snapshot_id),
            self,
            self,
            OnceRegister(self),
            "me",
            self.alive.__contains__,
            self._wait,
        )

    def _say(self, name: str) -> None:
        if name in self.fails:
            raise self.fails[name]

    def _wait(self, _place: Any, _key: str, _daemon: str | None, _user: str) -> None:
        self.ended.wait()
        self._say("wait")

    def take(self, _sandbox_id: str, *, kind: str) -> Taken:
        assert kind == "checkpoint"
        self._say("take")
        self.taken.append(f"{len(self.taken):032x}")
        return Taken(self.taken[-1])

    def look(self, _place: Any) -> int:
        self._say("look")
        self.looks.add(len(self.looks))
        return len(self.looks) - 1

    def changes_since(self, look: int) -> dict[str, Any]:
        self.looks.discard(look)
        self._say("changes")
        return TOLD

    def drop(self, look: int) -> None:
        self.looks.discard(look)

    def open(self, _sandbox_id: str, key: str, worker_id: str) -> None:
        self._say("open")
        self.rows.setdefault(key, Noted(worker_id, None))

    def tell(self, _sandbox_id: str, key: str, changes: Any, _size: int) -> None:
        self._say("tell")
        self.rows[key] = Noted(None, changes)

    def of(self, _sandbox_id: str, key: str) -> Noted | None:
        self._say("of")
        return self.rows.get(key)

    def forget(self, _sandbox_id: str, key: str) -> None:
        self.rows.pop(key, None)

    def noted(self, _sandbox_id: str, request_id: str) -> Claim | None:
        return self.claims.get(request_id)

    def claim_once(
        self, sandbox_id: str, request_id: str, daemon: str, *, checkpoint: Any, watched: Any
    ) -> Claim:
        self._say("open")
        found = self.claims.get(request_id)
        if found is None:
            self.claims[request_id] = Claim(daemon, checkpoint, is_first=False)
            if watched:
                self.open(sandbox_id, *watched)
            return Claim(daemon, checkpoint, is_first=True)
        return found


def asked(**fields: Any) -> CommandSpec:
    given = {"command": "true", "checkpoint": True, "changes": True, "request_id": "r", **fields}
    return spec_of(CommandRequest.model_validate(given), "r", 100)


@pytest.fixture
def world() -> World:
    return World()


def test_a_command_that_ends_is_told_of(world: World) -> None:
    spec = asked()
    watch = world.effects.before(Box(), spec, "agent")
    with watch.until_told():
        spec.handed_over.set()
        found = watch.told()
    assert found == CommandEffects("0" * 32, TOLD)
    assert world.rows[spec.key] == Noted(None, TOLD)
    assert (world.looks, world.taken) == (set(), ["0" * 32])


def _break_off(
    watch: Watch, spec: CommandSpec, error: BaseException, *, is_handed_over: bool
) -> None:
    with watch.until_told():
        if is_handed_over:
            spec.handed_over.set()
        raise error


@pytest.mark.parametrize("name", ["take", "look", "open"])
@pytest.mark.parametrize(
    "error", [TooManySnapshots(), SnapshotsMissing(), HostToolFailed("x"), StoreUnavailable("x")]
)
@pytest.mark.parametrize("once", [False, True])
def test_what_cannot_be_done_before_leaves_nothing(
    world: World, name: str, error: Exception, once: bool
) -> None:
    """And is raised, so that the command does not run."""
    world.fails[name] = error
    with pytest.raises(type(error)):
        world.effects.before(Box(), asked(once=once), "agent")
    assert (world.taken, world.looks, world.rows) == ([], set(), {})


@pytest.mark.parametrize("is_handed_over", [False, True])
def test_a_command_that_is_refused_leaves_nothing(world: World, is_handed_over: bool) -> None:
    """Before it was handed over, or by its agent."""
    spec = asked()
    watch = world.effects.before(Box(), spec, "agent")
    with pytest.raises(TooManyCommands):
        _break_off(watch, spec, TooManyCommands(), is_handed_over=is_handed_over)
    assert (world.taken, world.looks, world.rows) == ([], set(), {})


@pytest.mark.parametrize("error", [gevent.GreenletExit(), CommandLost("x"), TooMuchUnread()])
def test_who_leaves_a_running_command_has_it_told_later(world: World, error: BaseException) -> None:
    """Also where there was no room for what it wrote."""
    spec = asked()
    watch = world.effects.before(Box(), spec, "agent")
    with pytest.raises(type(error)):
        _break_off(watch, spec, error, is_handed_over=True)
    assert world.rows[spec.key] == Noted("me", None)
    asking = gevent.spawn(world.effects.read, Box(), spec.key, "c", is_asked=True)
    world.ended.set()
    assert asking.get(timeout=5) == CommandEffects("c", TOLD)
    assert (world.looks, world.taken) == (set(), ["0" * 32])


def test_an_end_that_cannot_be_known_is_lost(world: World) -> None:
    spec = asked(checkpoint=False)
    world.fails["wait"] = CommandLost("the agent was killed")
    watch = world.effects.before(Box(), spec, "agent")
    with watch.until_told():
        spec.handed_over.set()
        watch.leave()
    world.ended.set()
    asking = gevent.spawn(world.effects.read, Box(), spec.key, None, is_asked=True)
    assert asking.get(timeout=5).missing == "lost"
    assert (world.rows[spec.key], world.looks) == (Noted(None, None), set())


def test_files_that_cannot_be_looked_at_again_fail(world: World) -> None:
    """The result of the command comes all the same; so it does when it cannot be written down."""
    for name in ("changes", "tell"):
        world.fails = {name: HostToolFailed("x") if name == "changes" else StoreUnavailable("x")}
        found = world.effects.before(Box(), asked(checkpoint=False), "agent").told()
        assert found.missing == ("failed" if name == "changes" else None)
    world.fails = {"of": StoreUnavailable("x")}
    assert world.effects.read(Box(), "k", None, is_asked=True).missing == "failed"
    assert world.effects.read(Box(), "k", None, is_asked=False) == CommandEffects()


def test_what_is_sent_again_waits_for_the_first(world: World) -> None:
    """Nothing is taken for it, also when both came at the same time: who claims first counts."""
    spec = asked(once=True)
    first = world.effects.before(Box(), spec, "agent")
    second = world.effects.before(Box(), asked(once=True), "agent")
    assert (second.daemon, second.checkpoint) == ("agent", first.checkpoint)
    asking = gevent.spawn(second.told)
    spec.handed_over.set()
    assert first.told() == asking.get(timeout=5) == CommandEffects("0" * 32, TOLD)

    world.claims["late"] = Claim("agent", "f" * 32, is_first=False)
    world.noted = lambda *_: None  # type: ignore[method-assign]
    watch = world.effects.before(Box(), spec_of(_request("late"), "late", 1), "agent")
    assert watch.checkpoint == "f" * 32
    assert (world.taken, world.looks) == (["0" * 32], set())
    with pytest.raises(CommandLost):
        world.effects.before(Box(), asked(once=True), "another agent")


def _request(request_id: str) -> CommandRequest:
    given = {"command": "true", "checkpoint": True, "changes": True, "once": True}
    return CommandRequest.model_validate({"request_id": request_id, **given})


@pytest.mark.parametrize(
    ("row", "is_asked", "missing"),
    [
        (None, True, "forgotten"),
        (None, False, None),
        (Noted(None, None), True, "lost"),
        (Noted("dead", None), True, "lost"),
        (Noted("me", None), True, "lost"),
    ],
)
def test_why_there_are_none(
    world: World, monkeypatch: pytest.MonkeyPatch, row: Noted | None, is_asked: bool, missing: Any
) -> None:
    """A worker that is alive is waited for, but not for ever."""
    monkeypatch.setattr(file_effects, "TOLD_WITHIN_S", 0.0)
    if row is not None:
        world.rows["k"] = row
    assert world.effects.read(Box(), "k", "c", is_asked=is_asked) == CommandEffects(
        "c", None, missing
    )


@pytest.mark.parametrize(
    "noted", [{"checkpoint": "../x"}, {"checkpoint": "F" * 32}, {"changes": 7}, {"changes": "yes"}]
)
def test_an_agent_cannot_note_what_it_likes(noted: dict[str, Any]) -> None:
    """Its word goes into results."""
    meta = {"key": "k", "request_id": "r", "command": "c", "cap": 1, "encoding": "utf-8"}
    assert known_of(Started(1, meta), None).checkpoint is None
    with pytest.raises(CommandLost):
        known_of(Started(1, meta | noted), None)
