"""What the store keeps of one owner is bounded, in bytes, and nobody pays for another's share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert

from gateway.errors import TooManyLabels
from gateway.store import byte_counts
from gateway.store.admission import AdmissionStore, Key
from gateway.store.allowance import Allowance
from gateway.store.database import Database
from gateway.store.end_records import EndRecordStore
from gateway.store.events import EventStore
from gateway.store.history import KEPT, HistoryStore
from gateway.store.once import OnceTable
from gateway.store.room import Limits
from gateway.store.sandboxes import SandboxStore
from gateway.store.tables import events
from gateway.store.updates import SHOWN_NAMES, facts_of_change
from tests.support.rows import row_of

LARGER = {f"m{n}": "v" * 250 for n in range(25)}

SMALL = Allowance(events=20_000, history=20_000, ended=20_000, once=20_000, labels=20_000)


class World:
    """Every part of the store that writes for tenants, over one small allowance."""

    def __init__(self, place: str) -> None:
        self.database = Database(place, SMALL)
        self.admission = AdmissionStore(self.database)
        self.sandboxes = SandboxStore(self.database)
        self.endings = EndRecordStore(self.database)
        self.events = EventStore(self.database)
        self.history = HistoryStore(self.database)
        self.once = OnceTable(self.database)

    def create(self, sandbox_id: str, owner: str, key: str | None = None) -> None:
        made = self.admission.admit(
            row_of(sandbox_id=sandbox_id, owner=owner),
            Limits(),
            now=1.0,
            key=None if key is None else Key(key, "f" * 64),
        )
        assert made.row is not None
        self.sandboxes.mark_ready(sandbox_id, container_id="c", ip_address=None, now=1.0)

    def kept(self) -> dict[tuple[str, str], int]:
        """What the triggers have counted."""
        found = self.database.read(
            lambda c: c.exec_driver_sql("SELECT owner, kind, bytes FROM kept_bytes").all()
        )
        return {(owner, kind): size for owner, kind, size in found if size}

    def counted_anew(self) -> dict[tuple[str, str], int]:
        self.database.write(byte_counts.count_anew)
        return self.kept()

    def count(self, table: str, where: str) -> int:
        query = f"SELECT count(*) FROM {table} WHERE {where}"
        return self.database.read(lambda c: c.exec_driver_sql(query).scalar_one())


@pytest.fixture
def world(place: str) -> Iterator[World]:
    made = World(place)
    for owner in ("loud", "quiet"):
        made.create(owner, owner, key=owner)
    made.once.claim_once("quiet", "r", "daemon")
    made.history.write("quiet", [("k", 1.0, {"output": "x"})])
    made.create("gone", "quiet")
    made.endings.mark_ended("gone", "deleted", ended_at=1.0)
    yield made
    made.database.close()


def _traces_of_quiet(world: World) -> tuple[object, ...]:
    return (
        [event.event for event in world.events.since(0, sandbox_id=None, owner="quiet", limit=9)],
        world.history.of("quiet"),
        world.once.claim_once("quiet", "r", "another").daemon,
        world.sandboxes.get("gone"),
    )


@pytest.mark.long
def test_events_of_an_owner_are_bounded(world: World) -> None:
    """Thousands of changes: the latest stay, and the other owner's are all there."""
    before = _traces_of_quiet(world)
    for number in range(600):
        assert world.sandboxes.change("loud", now=1.0, labels={"n": f"{number:0200d}"})

    told = world.events.since(0, sandbox_id=None, owner="loud", limit=10_000)

    assert world.kept()["loud", "events"] <= SMALL.events
    assert 20 < len(told) < 100
    assert told[-1].facts["labels"] == {"n": f"{599:0200d}"}
    assert [e.number for e in told] == list(range(told[0].number, told[-1].number + 1))
    assert _traces_of_quiet(world) == before


@pytest.mark.long
@pytest.mark.parametrize("longest", [10, 256])
def test_notes_about_once_are_bounded(world: World, longest: int) -> None:
    """The latest are known, whatever the length of their names; the oldest may run again."""
    before = _traces_of_quiet(world)
    names = [f"{number}-".ljust(longest, "\u6c99") for number in range(400)]
    for name in names:
        assert world.once.claim_once("loud", name, "first").daemon == "first"

    assert world.kept()["loud", "once"] <= SMALL.once
    assert 40 < world.count("once_commands", "owner = 'loud'") < 200
    assert all(
        world.once.claim_once("loud", name, "second").daemon == "first" for name in names[-40:]
    )
    assert world.once.claim_once("loud", names[0], "second").daemon == "second"
    assert _traces_of_quiet(world) == before


def test_the_history_of_an_owners_sandboxes_is_bounded(world: World) -> None:
    """Over all its sandboxes; within one the last ten were the bound before."""
    before = _traces_of_quiet(world)
    for number in range(20):
        world.create(f"s{number}", "loud")
        records = [(f"k{n}", float(n), {"output": "\x00" * 300}) for n in range(KEPT + 5)]
        world.history.write(f"s{number}", records)

    assert world.kept()["loud", "history"] <= SMALL.history
    assert len(world.history.of("s19")) >= 5
    assert world.history.of("s0") == []
    assert _traces_of_quiet(world) == before


def test_what_is_known_of_ended_sandboxes_is_bounded(world: World) -> None:
    """With their idempotency keys. Creates that fail leave a trace as well."""
    before = _traces_of_quiet(world)
    for number in range(100):
        world.create(f"s{number}", "loud", key=f"{number}".rjust(255, "k"))
        world.history.write(f"s{number}", [("k", 1.0, {"output": "x"})])
        reason = "create_failed" if number % 2 else "deleted"
        world.endings.mark_ended(f"s{number}", reason, ended_at=float(number), detail="d" * 100)

    assert world.kept()["loud", "ended"] <= SMALL.ended
    assert 10 < world.count("sandboxes", "owner = 'loud'") < 60
    assert world.count("idempotency", "owner = 'loud'") < 60
    assert world.count("command_history", "owner = 'loud'") < 60
    last = world.sandboxes.get("s99")
    assert last is not None
    assert last.end_reason == "create_failed"
    assert world.sandboxes.get("s0") is None
    assert world.sandboxes.get("loud") is not None, "a live one is never forgotten"
    assert _traces_of_quiet(world) == before


def test_an_ended_sandbox_leaves_neither_labels_nor_notes(world: World) -> None:
    """Nobody can ask for them any more."""
    world.sandboxes.change("loud", now=1.0, labels={"a": "b" * 200})
    world.once.claim_once("loud", "r", "daemon")
    world.endings.mark_ended("loud", "idle", ended_at=2.0)

    assert world.count("once_commands", "owner = 'loud'") == 0
    assert world.count("sandboxes", "sandbox_id = 'loud' AND CAST(labels AS TEXT) = '{}'") == 1


def test_labels_of_live_sandboxes_are_bounded_together(world: World) -> None:
    """They cannot be trimmed: one too many is refused, on create and on change, until one of the
    others ends. Another owner does not notice."""
    large = {f"l{n}": "v" * 250 for n in range(25)}
    for number in range(3):
        world.create(f"s{number}", "loud")
        assert world.sandboxes.change(f"s{number}", now=1.0, labels=large)
    assert world.sandboxes.change("quiet", now=1.0, labels=large)
    assert world.sandboxes.change("s1", now=1.0, labels=large), "its own do not count twice"
    with pytest.raises(TooManyLabels):
        world.sandboxes.change("loud", now=1.0, labels={**large, **LARGER})
    wanted = row_of(sandbox_id="new", owner="loud", labels=large)
    assert world.admission.admit(wanted, Limits(), now=1.0).refused == "labels"
    assert world.sandboxes.change("s2", now=1.0, labels={"small": "v"})

    for number in range(3):
        world.endings.mark_ended(f"s{number}", "deleted", ended_at=1.0)

    assert world.admission.admit(wanted, Limits(), now=1.0).row is not None


def test_what_an_earlier_version_left_is_trimmed_in_slices(world: World) -> None:
    """Far too much from before there was a bound: housekeeping removes it, in transactions that
    hold nobody up."""
    left = {
        "sandbox_id": "loud",
        "owner": "loud",
        "at": 1e12,
        "event": "updated",
        "facts": {"labels": "x" * 1000},
    }
    world.database.write(lambda c: c.execute(insert(events), [left] * 5000))
    assert world.kept()["loud", "events"] > 5_000_000

    world.events.forget(before=0.0)

    assert world.kept()["loud", "events"] <= SMALL.events
    assert world.count("events", "owner = 'quiet'") == 3


_ACTS = st.lists(
    st.tuples(
        st.sampled_from(["create", "keyed", "change", "once", "history", "end", "forget"]),
        st.sampled_from(["A", "B"]),
        st.integers(0, 5),
        st.text(max_size=120),
    ),
    max_size=60,
)


@pytest.mark.long
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_ACTS)
def test_what_is_counted_is_what_is_there(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, str, int, str]]
) -> None:
    """Whatever is added, replaced, ended, cascaded and trimmed, in any order: the running count
    equals a new one, and no kind of any owner exceeds its allowance."""
    world = World(str(tmp_path_factory.mktemp("world") / "gateway.db"))
    made = 0
    for act, owner, number, text in acts:
        sandbox_id = f"{owner}{number}"
        row = world.sandboxes.get(sandbox_id)
        if act in ("create", "keyed") and row is None:
            made += 1
            world.create(sandbox_id, owner, key=f"{made}{'k' * 200}" if act == "keyed" else None)
        elif row is None:
            continue
        elif act == "change":
            world.sandboxes.change(sandbox_id, now=1.0, labels={"a": text})
        elif act == "once" and row.state == "ready":
            world.once.claim_once(sandbox_id, text, "daemon")
        elif act == "history":
            world.history.write(sandbox_id, [(text, float(number), {"output": text * 40})])
        elif act == "end":
            world.endings.mark_ended(sandbox_id, "idle", ended_at=number, detail=text)
        elif act == "forget":
            world.endings.forget_ended(before=3.0)
    running = world.kept()
    anew = world.counted_anew()
    world.database.close()
    assert running == anew
    assert all(size <= getattr(SMALL, kind) for (_, kind), size in running.items())


@given(
    st.dictionaries(st.text(min_size=1, max_size=60), st.text(max_size=256), max_size=64),
    st.dictionaries(st.text(min_size=1, max_size=60), st.text(max_size=256), max_size=64),
)
def test_an_event_of_a_change_is_small(before: dict[str, str], after: dict[str, str]) -> None:
    """Whatever the labels are: a client may change them hundreds of times a second."""
    facts = facts_of_change({"labels": after, "timeout_s": 5.0}, before)

    assert facts["changed"] == ["labels", "timeout"]
    assert len(facts["labels_changed"]) <= SHOWN_NAMES
    assert len(repr(facts).encode()) < 10_000
    told = len(facts["labels_changed"]) + facts.get("labels_changed_more", 0)
    assert told == sum(after.get(name) != before.get(name) for name in {*before, *after})
    assert facts.get("labels", after) == after


def test_labels_of_a_usual_size_are_told_as_before() -> None:
    """Clients that follow events find them there."""
    facts = facts_of_change({"labels": {"team": "blue", "run": "7"}}, {"team": "blue"})

    assert facts["labels"] == {"team": "blue", "run": "7"}
    assert facts["labels_changed"] == ["run"]
    assert "labels" not in facts_of_change({"labels": {"a": "v" * 1100}}, {})
