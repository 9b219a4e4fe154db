"""What stands where a sandbox is meant: an id, or a name among the caller's own."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway.errors import SandboxNotFound
from gateway.identity.caller import ANONYMOUS, Caller
from gateway.middleware.target import sandbox_id_of
from gateway.sandboxes.create.idempotency import key_of
from gateway.schemas.models import SandboxCreate

ID, OTHER_ID = "0123456789abcdef" * 2, "f" * 32
KNOWN = {("alice", "web"): ID, ("alice", "db"): OTHER_ID, ("", "web"): OTHER_ID}


def _find(owner: str, name: str) -> str | None:
    assert name != ID, "an id costs no look into the store"
    return KNOWN.get((owner, name))


def test_names_are_found_among_the_callers_own() -> None:
    assert sandbox_id_of("web", Caller("alice"), _find) == ID
    assert sandbox_id_of("web", ANONYMOUS, _find) == OTHER_ID
    assert sandbox_id_of("web", Caller("bob"), _find) == "web"
    assert sandbox_id_of(ID, Caller("bob"), _find) == ID


def test_a_token_says_the_name_of_its_own_sandbox_only() -> None:
    """It learns of no other id: where there are no keys, that is all it takes."""
    holder = Caller("alice", sandbox_id=ID)
    assert sandbox_id_of("web", holder, _find) == ID
    assert sandbox_id_of("db", holder, _find) == "db"


@pytest.mark.parametrize("given", ["", "-web", "Web", "we b", "../x", "web\n", "w" * 65, "a-" * 40])
def test_what_can_be_neither_is_refused(given: str) -> None:
    """Nothing behind it sees such a text, and the error repeats little of it."""
    with pytest.raises(SandboxNotFound) as refused:
        sandbox_id_of(given, ANONYMOUS, _find)
    assert len(str(refused.value)) < 200


def test_an_unknown_name_is_not_found() -> None:
    with pytest.raises(SandboxNotFound):
        sandbox_id_of("no-such", Caller("alice"), _find)


@pytest.mark.parametrize("name", ["a", "7", "build-7", "a--b-", "a" * 63, "f" * 31, "f" * 33])
def test_good_names(name: str) -> None:
    assert SandboxCreate.model_validate({"name": name}).name == name


@pytest.mark.parametrize("name", ["", "-a", "A", "a_b", "a.b", "é", "a\n", "a" * 64, "0" * 32, ID])
def test_bad_names(name: str) -> None:
    """An id is never a name: whoever took another's would get its requests."""
    with pytest.raises(ValidationError):
        SandboxCreate.model_validate({"name": name})


def test_keys_of_earlier_versions_stay_good() -> None:
    """The fingerprint of a body without a name is what it was before there were names."""
    plain = key_of("k", SandboxCreate.model_validate({"memory_mb": 64}))
    assert plain is not None
    before = "dc58f2d6a36dabe2a5ba0c53d61410c0db2df814ebe5171b546a8bf08fb3b93e"
    assert plain.fingerprint == before
    named = key_of("k", SandboxCreate.model_validate({"memory_mb": 64, "name": "web"}))
    assert named is not None
    assert named.fingerprint != before
