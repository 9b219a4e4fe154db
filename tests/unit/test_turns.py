"""Whose turn it is: those who fit pass those who do not, and nobody is passed for ever."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.store.turns import AGED_AFTER, ALONE_AFTER, Holding, Room, Ticket, whose_turn

WHOLE_MB = 100
STEP_S = 0.5


@dataclass
class Asked:
    """A create: by whom, when, how large, and how long the sandbox lives once it is there."""

    owner: str
    at: float
    memory_mb: int
    lives_s: float


@dataclass
class Simulation:
    """A host and its queue, stepped by an injected clock. Tickets get their turns and begin to age
    as `gateway.store.admission` does it."""

    wait_s: float
    share_mb: int | None = None
    now: float = 0.0
    numbers: int = 0
    waiting: dict[int, tuple[Ticket, int, Asked]] = field(default_factory=dict)
    alive: list[tuple[float, Asked]] = field(default_factory=list)
    served: list[tuple[float, Asked]] = field(default_factory=list)
    gave_up: list[Asked] = field(default_factory=list)

    def join(self, asked: Asked) -> None:
        self.numbers += 1
        turns = [turn for _, turn, _ in self.waiting.values()]
        own = [turn for t, turn, _ in self.waiting.values() if t.owner == asked.owner]
        turn = max(min(turns, default=1) - 1, max(own, default=0)) + 1
        ticket = Ticket(
            self.numbers,
            asked.owner,
            asked.memory_mb,
            share_memory_mb=self.share_mb,
            wait_s=self.wait_s,
        )
        self.waiting[self.numbers] = ticket, turn, asked

    def waits(self, owner: str) -> int:
        return sum(ticket.owner == owner for ticket, _, _ in self.waiting.values())

    def held(self) -> dict[str, Holding]:
        held: dict[str, Holding] = {}
        for _, one in self.alive:
            has = held.get(one.owner, Holding())
            held[one.owner] = Holding(has.sandboxes + 1, has.memory_mb + one.memory_mb)
        return held

    def step(self) -> None:
        self.now += STEP_S
        self.alive = [(ends, one) for ends, one in self.alive if ends > self.now]
        for number, (_, _, asked) in list(self.waiting.items()):
            if asked.at + self.wait_s <= self.now:
                del self.waiting[number]
                self.gave_up.append(asked)
        while True:
            order = sorted(self.waiting.values(), key=lambda one: (one[1], one[0].number))
            first: set[str] = set()
            for ticket, turn, asked in order:
                if ticket.owner not in first and ticket.ages_from is None:
                    aging = replace(ticket, ages_from=self.now)
                    self.waiting[ticket.number] = aging, turn, asked
                first.add(ticket.owner)
            tickets = [self.waiting[ticket.number][0] for ticket, _, _ in order]
            number = whose_turn(tickets, self.held(), Room(None, WHOLE_MB), self.now)
            if number is None:
                return
            _, _, asked = self.waiting.pop(number)
            self.alive.append((self.now + asked.lives_s, asked))
            self.served.append((self.now, asked))
            assert sum(one.memory_mb for _, one in self.alive) <= WHOLE_MB

    def run(self, asks: Callable[[float], list[Asked]], until: float) -> None:
        while self.now < until:
            for asked in asks(self.now):
                self.join(asked)
            self.step()


_SMALL = st.tuples(
    st.sampled_from(["A", "B", "C", "D", "E"]),
    st.integers(1, 30),
    st.floats(0.5, 5.0),
)


@settings(max_examples=25)
@given(st.lists(_SMALL, min_size=1, max_size=12), st.integers(40, 100))
def test_a_large_one_is_not_starved(pattern: list[tuple[str, int, float]], size_mb: int) -> None:
    """Small ones of five owners keep coming, more than the host bears, and always fit sooner than
    the large one. It is served all the same, before its wait is over: once it is alone, what
    runs ends within the time that is left."""
    simulation = Simulation(wait_s=60.0)
    large = Asked("L", 10.0, size_mb, 1.0)

    def asks(now: float) -> list[Asked]:
        some = [
            Asked(owner, now, mb, lives)
            for owner, mb, lives in pattern
            if simulation.waits(owner) < 5
        ]
        return some + ([large] if now == 10.0 else [])

    simulation.run(asks, until=75.0)

    assert large not in simulation.gave_up
    [at] = [at for at, asked in simulation.served if asked is large]
    assert at - 10.0 <= 60.0 * ALONE_AFTER + 5.0 + 2 * STEP_S


@settings(max_examples=25)
@given(
    st.integers(1, 12),
    st.lists(st.integers(1, 80), min_size=1, max_size=6),
    st.floats(1.0, 10.0),
)
def test_who_has_little_is_hardly_held_up(every_s: int, sizes_mb: list[int], away_s: float) -> None:
    """One tenant holds more than half for ever and keeps tickets of all sizes waiting, staggered
    as he likes, so that one of them is always about to be the oldest. Another one, who has next to
    nothing, comes again and again for 1 MB while there is room: never does it wait for more than
    the last tenth of the time that a create may wait."""
    simulation = Simulation(wait_s=30.0, share_mb=80)
    simulation.alive = [(math.inf, Asked("greedy", 0.0, 20, math.inf)) for _ in range(3)]
    simulation.alive.append((math.inf, Asked("other", 0.0, 30, math.inf)))
    came: list[Asked] = []

    def asks(now: float) -> list[Asked]:
        some = []
        if now % every_s == 0:
            some += [Asked("greedy", now, size, math.inf) for size in sizes_mb if size > 10]
        if simulation.waits("greedy") > 20:
            some = []
        if not came or now - came[-1].at >= away_s:
            came.append(Asked("modest", now, 1, 0.5))
            some.append(came[-1])
        return some

    simulation.run(asks, until=120.0)

    waited = [at - asked.at for at, asked in simulation.served if asked.owner == "modest"]
    assert len(waited) >= len(came) - 4
    assert max(waited) <= 30.0 * (1 - ALONE_AFTER) + 3 * STEP_S
    assert "modest" not in {asked.owner for asked in simulation.gave_up}


def _ticket(number: int, owner: str, memory_mb: int, **more: float) -> Ticket:
    return Ticket(number, owner, memory_mb, **more)  # type: ignore[arg-type]


def test_who_fits_passes_who_does_not() -> None:
    """A tenant has three quarters and wants one more quarter and a bit; 21 are free."""
    held = {"A": Holding(3, 79)}
    tickets = [_ticket(1, "A", 26), _ticket(2, "B", 1), _ticket(3, "B", 2)]
    assert whose_turn(tickets, held, Room(None, 100), 0.0) == 2
    assert whose_turn(tickets[:1], held, Room(None, 100), 0.0) is None


def test_beyond_his_share_nobody_holds_up_others_however_long_he_waits() -> None:
    """It could be served by his own sandboxes' ends alone."""
    aged = _ticket(1, "A", 26, share_memory_mb=80, ages_from=0.0, wait_s=30.0)
    held = {"A": Holding(3, 79), "B": Holding(1, 15)}
    for now in (0.0, 15.0, 29.0, 1000.0):
        assert whose_turn([aged, _ticket(2, "B", 6)], held, Room(None, 100), now) == 2


def test_the_bar_sinks() -> None:
    """Aged, it holds back first who has most; who has little passes until shortly before the end;
    an aged one that fits comes first."""
    aged = _ticket(1, "L", 60, ages_from=0.0, wait_s=30.0)
    much, little = _ticket(2, "M", 5), _ticket(3, "S", 1)
    held, room = {"M": Holding(4, 40), "S": Holding(1, 1)}, Room(None, 100)

    def turn(now: float) -> int | None:
        return whose_turn([much, little, aged], held, room, now)

    assert turn(30 * AGED_AFTER - 0.1) == 2
    assert turn(30 * AGED_AFTER + 0.1) == 3
    assert turn(25.0) == 3
    assert turn(30 * ALONE_AFTER) is None
    assert whose_turn([much, little, aged], {"M": Holding(1, 30)}, room, 28.0) == 1
    assert whose_turn([much, little, aged], {"M": Holding(1, 30)}, room, 1.0) == 2


def test_one_that_never_fits_holds_up_nobody() -> None:
    """It is larger than the host."""
    aged = _ticket(1, "L", 101, ages_from=0.0, wait_s=30.0)
    assert whose_turn([aged, _ticket(2, "S", 1)], {}, Room(None, 100), 29.0) == 2


def test_a_share_of_the_number_holds_too() -> None:
    """Where the operator gives a number of sandboxes; the first one is always allowed."""
    mine = Ticket(1, "A", share_sandboxes=3)
    other = Ticket(2, "B", share_sandboxes=3)
    assert whose_turn([mine, other], {"A": Holding(3, 0)}, Room(4, None), 0.0) == 2
    assert whose_turn([mine, other], {"A": Holding(2, 0)}, Room(4, None), 0.0) == 1
    assert whose_turn([mine, other], {"A": Holding(4, 0)}, Room(4, None), 0.0) is None
    alone = Ticket(1, "A", 90, share_memory_mb=80)
    assert whose_turn([alone], {}, Room(None, 100), 0.0) == 1
