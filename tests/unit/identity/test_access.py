"""Who somebody is, whose a sandbox is, and when a token ends; over the real store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.errors import RateLimited, SandboxNotFound, Unauthorized
from gateway.identity.access import Access
from gateway.identity.access_tokens import TokenSigner
from gateway.identity.caller import ANONYMOUS, Caller, may_use
from gateway.identity.key_source import KeySource
from gateway.identity.keys import line_of
from gateway.identity.rate_limits import RateLimits
from gateway.store.admission import AdmissionStore
from gateway.store.database import Database
from gateway.store.end_records import EndRecordStore
from gateway.store.ownership import OwnershipTable
from gateway.store.room import Limits
from gateway.store.sandboxes import SandboxStore
from tests.support.keys import ALICE, BOB, INLINE, NOBODYS
from tests.support.rows import row_of

TTL_S = 100.0


class World:
    """An `Access` over a store, a clock to turn, and a file of keys to change."""

    def __init__(self, directory: Path, keys: str = INLINE) -> None:
        self.now = 1_000_000.0
        self.database = Database(directory / "gateway.db")
        self.store = SandboxStore(self.database)
        self.endings = EndRecordStore(self.database)
        self.tenancy = OwnershipTable(self.database)
        self.keys_file = directory / "keys"
        self.source = KeySource(keys)
        self.rates = RateLimits(directory / "rates")
        self.access = self.made()

    def made(self, source: KeySource | None = None) -> Access:
        return Access(
            source or self.source,
            TokenSigner(b"s" * 32),
            self.tenancy,
            self.tenancy,
            self.rates,
            TTL_S,
            lambda: self.now,
        )

    def add(self, sandbox_id: str, owner: Caller) -> None:
        row = row_of(sandbox_id=sandbox_id, owner=owner.name)
        assert AdmissionStore(self.database).admit(row, Limits(), now=1.0).row == row

    def own(self, caller: Caller, sandbox_ids: list[str]) -> set[str]:
        """Those of the sandboxes that a caller may use."""
        return {one for one in sandbox_ids if may_use(caller, self.tenancy.owner_of(one), one)}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.access.close()
    world.database.close()


def test_a_key_makes_its_caller(world: World) -> None:
    """By its name; nobody else is anybody."""
    assert world.access.identify(ALICE).name == "alice"
    assert ALICE not in repr(world.access.identify(ALICE))
    for wrong in (None, "", NOBODYS, ALICE + "x", "sgt_x.y", "alice"):
        with pytest.raises(Unauthorized) as raised:
            world.access.identify(wrong)
        assert not wrong or wrong not in str(raised.value).split()


def test_without_keys_nobody_is_asked(tmp_path: Path) -> None:
    """Whatever is shown."""
    world = World(tmp_path, "")

    assert world.access.identify(None) is ANONYMOUS
    assert world.access.identify(ALICE) is ANONYMOUS
    assert not world.access.needs_key
    world.access.check(ANONYMOUS, "unknown")
    world.database.close()


def test_sandboxes_are_their_owners_only(world: World) -> None:
    """Another's is not told apart from one that is not there."""
    alice, bob = world.access.identify(ALICE), world.access.identify(BOB)
    world.add("a1", alice)
    world.add("n1", ANONYMOUS)

    world.access.check(alice, "a1")
    said = []
    for caller, sandbox_id in ((bob, "a1"), (bob, "b1"), (bob, "n1"), (alice, "n1")):
        with pytest.raises(SandboxNotFound) as raised:
            world.access.check(caller, sandbox_id)
        said.append((str(raised.value).replace(sandbox_id, "ID"), raised.value.members))
    assert len({repr(one) for one in said}) == 1
    assert world.own(alice, ["a1", "n1", "b1"]) == {"a1"}
    assert world.own(ANONYMOUS, ["a1", "n1"]) == {"a1", "n1"}


def test_many_sandboxes_can_be_asked_for_at_once(world: World) -> None:
    """More than SQLite takes parameters."""
    alice = world.access.identify(ALICE)
    ids = [f"s{number}" for number in range(1200)]
    for sandbox_id in ids[::100]:
        world.add(sandbox_id, alice)
        world.access.issue(sandbox_id)

    assert world.tenancy.generations_of(ids).keys() == set(ids[::100])


def test_a_token_opens_one_sandbox_in_its_owners_name(world: World) -> None:
    """And has the limits of the owner's key."""
    alice = world.access.identify(ALICE)
    world.add("a1", alice)
    world.add("a2", alice)

    caller = world.access.identify(world.access.issue("a1").text)

    assert (caller.name, caller.sandbox_id) == ("alice", "a1")
    world.access.check(caller, "a1")
    with pytest.raises(SandboxNotFound):
        world.access.check(caller, "a2")
    assert world.own(caller, ["a1", "a2"]) == {"a1"}


def test_a_token_ends_with_its_time(world: World) -> None:
    """To the second; also for those who are connected."""
    world.add("a1", world.access.identify(ALICE))
    token = world.access.issue("a1")
    caller = world.access.identify(token.text)
    assert token.expires_at == world.now + TTL_S

    world.now = token.expires_at - 1
    assert world.access.identify(token.text).sandbox_id == "a1"
    assert world.access.lapsed({caller}) == set()
    world.now = token.expires_at
    with pytest.raises(Unauthorized):
        world.access.identify(token.text)
    assert world.access.lapsed({caller}) == {caller}


def test_revoking_ends_all_tokens_of_that_sandbox_and_no_others(world: World) -> None:
    """Those issued afterwards are valid; the key is, all the time."""
    alice = world.access.identify(ALICE)
    world.add("a1", alice)
    world.add("a2", alice)
    first, second, other = (world.access.issue(one).text for one in ("a1", "a1", "a2"))
    callers = {world.access.identify(token) for token in (first, second, other)} | {alice}

    world.access.revoke("a1")

    for token in (first, second):
        with pytest.raises(Unauthorized):
            world.access.identify(token)
    assert world.access.identify(other).sandbox_id == "a2"
    assert {c.sandbox_id for c in world.access.lapsed(callers)} == {"a1"}
    assert world.access.identify(world.access.issue("a1").text).sandbox_id == "a1"
    with pytest.raises(Unauthorized):
        world.access.identify(first)


def test_a_lost_store_revives_no_token(world: World, tmp_path: Path) -> None:
    """Revoked ones would be valid again if generations were counted."""
    world.add("a1", world.access.identify(ALICE))
    token = world.access.issue("a1").text
    world.access.revoke("a1")
    (tmp_path / "new").mkdir()
    later = World(tmp_path / "new")
    later.add("a1", later.access.identify(ALICE))
    later.access.issue("a1")

    with pytest.raises(Unauthorized):
        later.access.identify(token)
    later.database.close()


def test_there_is_no_token_for_what_is_not_there(world: World) -> None:
    """Never was, or has ended."""
    world.add("a1", world.access.identify(ALICE))
    world.endings.mark_ended("a1", "deleted", ended_at=2.0)

    for sandbox_id in ("a1", "unknown"):
        with pytest.raises(SandboxNotFound):
            world.access.issue(sandbox_id)
        with pytest.raises(SandboxNotFound):
            world.access.revoke(sandbox_id)


def test_what_is_known_of_a_sandbox_goes_with_it(world: World) -> None:
    """Nothing grows for ever."""
    world.add("a1", world.access.identify(ALICE))
    world.access.issue("a1")
    world.endings.mark_ended("a1", "deleted", ended_at=2.0)
    assert world.tenancy.owner_of("a1") == "alice", "its end is the owner's to read"

    world.endings.forget_ended(before=3.0)

    assert world.tenancy.owner_of("a1") is None
    assert world.tenancy.generation_of("a1") is None


def test_a_removed_key_ends_everything_that_stems_from_it(world: World) -> None:
    """Whoever has left the company is out: with the key, with tokens, and on open WebSockets."""
    seconds = [0.0]
    world.keys_file.write_text(f"{line_of('alice', ALICE)}\n{line_of('bob', BOB)}\n")
    access = world.made(KeySource("", world.keys_file, lambda: seconds[0]))
    alice, bob = access.identify(ALICE), access.identify(BOB)
    world.add("a1", alice)
    token = access.issue("a1").text
    by_token = access.identify(token)

    world.keys_file.write_text(line_of("bob", BOB))
    seconds[0] += 1

    for shown in (ALICE, token):
        with pytest.raises(Unauthorized):
            access.identify(shown)
    assert access.lapsed({alice, bob, by_token, ANONYMOUS}) == {alice, by_token}


def test_a_rotated_key_keeps_sandboxes_and_tokens(world: World) -> None:
    """The name is what owns them."""
    seconds = [0.0]
    world.keys_file.write_text(line_of("alice", ALICE))
    access = world.made(KeySource("", world.keys_file, lambda: seconds[0]))
    old = access.identify(ALICE)
    world.add("a1", old)
    token = access.issue("a1").text

    world.keys_file.write_text(line_of("alice", NOBODYS))
    seconds[0] += 1

    access.check(access.identify(NOBODYS), "a1")
    assert access.identify(token).name == "alice"
    assert access.lapsed({old}) == {old}, "the old key itself is not valid any more"


def test_too_many_requests_are_refused_with_the_time_to_wait(world: World) -> None:
    """Tokens count for the key they stem from; other keys are not touched."""
    world.keys_file.write_text(f"{line_of('alice', ALICE)} rate=2/s\n{line_of('bob', BOB)}\n")
    access = world.made(KeySource("", world.keys_file))
    world.add("a1", access.identify(ALICE))
    access.identify(access.issue("a1").text)

    with pytest.raises(RateLimited) as raised:
        _repeat(5, lambda: access.identify(ALICE))
    assert 0 < raised.value.retry_after_s <= 0.5
    for _ in range(20):
        access.identify(BOB)


def _repeat(times: int, work: Callable[[], object]) -> None:
    for _ in range(times):
        work()


@pytest.mark.parametrize(
    ("caller", "owner", "allowed"),
    [
        (ANONYMOUS, "alice", True),
        (ANONYMOUS, "", True),
        (ANONYMOUS, None, True),
        (Caller("alice"), "alice", True),
        (Caller("alice"), "bob", False),
        (Caller("alice"), "", False),
        (Caller("alice"), None, False),
        (Caller("alice", sandbox_id="s1"), "alice", True),
        (Caller("alice", sandbox_id="s2"), "alice", False),
        (Caller("alice", sandbox_id="s1"), "bob", False),
        (Caller("alice", sandbox_id="s1"), None, False),
    ],
)
def test_may_use(caller: Caller, owner: str | None, allowed: bool) -> None:
    """All cases of the one rule."""
    assert may_use(caller, owner, "s1") is allowed
