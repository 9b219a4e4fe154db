"""The tokens that E2B's clients show."""

from __future__ import annotations

import re

import pytest

from gateway.identity.envd_tokens import is_same, sandbox_id_in, token_of

ID = "0123456789abcdef" * 2
SECRET = b"s" * 32


def test_a_token_stays_the_same_and_says_its_sandbox() -> None:
    """A client keeps the one that it got at the create; old ones show nothing else."""
    token = token_of(SECRET, "envd", ID, "g")

    assert token == token_of(SECRET, "envd", ID, "g")
    assert re.fullmatch("[0-9a-f]{96}", token)
    assert sandbox_id_in(token) == ID


def test_each_part_of_what_a_token_says_makes_another() -> None:
    """One kind opens nothing of the other, one sandbox's none else, a revoked one nothing."""
    tokens = {
        token_of(SECRET, "envd", ID, "g"),
        token_of(SECRET, "traffic", ID, "g"),
        token_of(SECRET, "envd", ID[::-1], "g"),
        token_of(SECRET, "envd", ID, "h"),
        token_of(b"t" * 32, "envd", ID, "g"),
    }

    assert len(tokens) == 5


@pytest.mark.parametrize("shown", ["", "0" * 64, "x" * 200, f"{ID}{'G' * 64}", f"{ID} {'0' * 64}"])
def test_what_can_be_no_token_names_no_sandbox(shown: str) -> None:
    """It comes from strangers."""
    assert sandbox_id_in(shown) is None
    assert not is_same(token_of(SECRET, "envd", ID, "g"), shown)
