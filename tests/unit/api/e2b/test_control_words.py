"""What E2B's clients say of sandboxes, and how it is understood: filters, metadata, templates."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from flask import Flask

from gateway.api.e2b.control_lists import (
    metadata_filter,
    page_of,
    read_token,
    states_filter,
    time_filter,
    token_of,
)
from gateway.api.e2b.notes import split_metadata
from gateway.api.e2b.template_words import Meaning, TemplateWords
from gateway.errors import BadFields, SnapshotNotFound, TemplateNotFound


@pytest.mark.parametrize(
    "metadata",
    [
        {"a": "b", "c": "d"},
        {"percent": "100%", "plus": "a+b", "and": "a&b=c", "space": "a b"},
        {"ключ": "значение", "=": "&"},
        {"empty": ""},
    ],
)
def test_metadata_is_found_by_what_it_was_given(metadata: dict[str, str]) -> None:
    """Clients encode it twice below the query string: each pair, and the whole."""
    said = urlencode(
        {quote(name, safe=""): quote(value, safe="") for name, value in metadata.items()}
    )

    assert metadata_filter(said) == metadata


def test_metadata_that_can_be_labels_becomes_labels() -> None:
    """So native listings show it; what labels cannot say is kept beside them."""
    labels, others = split_metadata({"team": "blue", "ключ": "x", "io.sandbox-gateway.x": "y"})

    assert labels == {"team": "blue"}
    assert others == {"ключ": "x", "io.sandbox-gateway.x": "y"}


def test_metadata_is_bounded() -> None:
    """It stays as long as its sandbox."""
    with pytest.raises(BadFields):
        split_metadata({"a": "x" * 33_000})


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ([], {"running", "paused"}),
        (["paused"], {"paused"}),
        (["running,paused"], {"running", "paused"}),
        (["running", "paused"], {"running", "paused"}),
    ],
)
def test_states_come_in_either_form(said: list[str], wanted: set[str]) -> None:
    """SDKs of different languages write the list differently."""
    assert states_filter(said) == wanted


def test_an_unknown_state_is_refused() -> None:
    """An empty list would look like an answer."""
    with pytest.raises(BadFields):
        states_filter(["gone"])


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ("2026-11-28T14:00:00Z", 1795874400.0),
        ("2026-11-28T15:00:00+01:00", 1795874400.0),
        ("2026-11-28T14:00:00.500000+00:00", 1795874400.5),
        ("", None),
    ],
)
def test_times_are_read_with_their_zone(said: str, at: float | None) -> None:
    """Both SDKs write RFC 3339, each in its way."""
    with Flask("t").test_request_context(query_string={"t": said}):
        assert time_filter("t") == at


def _pages(count: int, limit: int, *, descends: bool) -> list[list[int]]:
    """All pages of so many things, asked for one after the other."""
    found = sorted(range(count), reverse=descends)
    places = [(float(one // 2), f"{one:032x}") for one in found]
    pages, token = [], ""
    while True:
        query = {"limit": str(limit), "nextToken": token}
        with Flask("t").test_request_context(query_string=query):
            answer = page_of(found, places, lambda one: one)
        pages.append(answer.get_json())
        if "X-Next-Token" not in answer.headers:
            return pages
        token = answer.headers["X-Next-Token"]


@pytest.mark.parametrize("descends", [True, False])
@pytest.mark.parametrize(("count", "limit"), [(0, 3), (1, 1), (3, 3), (7, 3), (6, 3)])
def test_pages_have_everything_once(count: int, limit: int, descends: bool) -> None:
    """The last one says so by having no token, not an empty one."""
    pages = _pages(count, limit, descends=descends)

    assert [one for page in pages for one in page] == sorted(range(count), reverse=descends)
    assert len(pages) == max(1, -(-count // limit))


@pytest.mark.parametrize("token", ["x", "é", "bm8", "=" * 9, token_of((1.5, "a"))[:-3]])
def test_a_token_that_was_not_given_out_is_refused(token: str) -> None:
    """It is anything that a stranger likes."""
    with pytest.raises(BadFields):
        read_token(token)


def test_a_token_leads_where_it_was_made() -> None:
    """To the last digit of a time."""
    assert read_token(token_of((1795874400.123456, "a" * 32))) == (1795874400.123456, "a" * 32)


def _snapshot(word: str, owner: str) -> str:
    if (word, owner) == ("snap", "alice"):
        return "5" * 32
    raise SnapshotNotFound()


WORDS = TemplateWords(
    images=["default:1", "python:3.12"],
    image_of={"mine": "sandbox-template:x"}.get,
    snapshot_of=_snapshot,
    known_as={"code-interpreter-v1": "interpreter"},
)


@pytest.mark.parametrize(
    ("word", "meaning"),
    [
        ("base", Meaning()),
        ("base:default", Meaning()),
        ("code-interpreter-v1", Meaning(image="interpreter")),
        ("python:3.12", Meaning(image="python:3.12")),
        ("mine", Meaning(image="mine")),
        ("mine:latest", Meaning(image="mine")),
        ("snap", Meaning(snapshot="5" * 32)),
    ],
)
def test_a_template_is_an_image_a_template_or_a_snapshot(word: str, meaning: Meaning) -> None:
    """One word for all three, as clients have it."""
    assert WORDS.meaning(word, "alice") == meaning


@pytest.mark.parametrize("word", ["", "nope", "python:3.13", ":default", "snap"])
def test_another_word_is_no_template(word: str) -> None:
    """Nor is another owner's snapshot."""
    with pytest.raises(TemplateNotFound):
        WORDS.meaning(word, "bob")
