"""Whose agent is meant, and where there is one."""

from __future__ import annotations

import pytest

from gateway.errors import UserUnavailable
from gateway.link import users
from gateway.link.users import ONLY_THE_USER, Users, parsed, roots

ID = "0c9a3e5b7d1f" * 5


def test_each_agent_has_an_address() -> None:
    """By which links to it are kept apart; none can be taken for a container's id."""
    assert parsed(ID) == (ID, False)
    assert parsed(roots(ID)) == (ID, True)
    assert roots(ID) != ID


def test_root_is_only_where_it_is() -> None:
    """Whoever asks in vain is told why, before anything is dialled."""
    known = Users({ID: True, "other": False}.__getitem__)
    assert known.address(ID, "user") == ID
    assert known.address(ID, "root") == roots(ID)
    assert known.addresses(ID) == [ID, roots(ID)]
    assert known.address("other", "user") == "other"
    assert known.addresses("other") == ["other"]
    with pytest.raises(UserUnavailable, match="has no root"):
        known.address("other", "root")
    with pytest.raises(UserUnavailable):
        ONLY_THE_USER.address(ID, "root")


def test_a_container_is_asked_about_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It never changes; and what is remembered is bounded. An error is not remembered."""
    monkeypatch.setattr(users, "REMEMBERED", 2)
    asked: list[str] = []

    def has_root(container_id: str) -> bool:
        asked.append(container_id)
        if container_id == "gone" and asked.count("gone") == 1:
            raise UserUnavailable("not now")
        return False

    known = Users(has_root)
    for container_id in ("a", "a", "b", "c", "b", "a"):
        assert known.has_root(container_id) is False
    assert asked == ["a", "b", "c", "a"]
    with pytest.raises(UserUnavailable):
        known.has_root("gone")
    assert known.has_root("gone") is False
