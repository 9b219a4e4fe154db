"""What a sandbox says of its files is checked before anybody is told."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import BadPath, ProtocolBroken
from gateway.files.entries import entry_of, path_of
from gateway.files.several import below
from gateway.schemas import paths_in_requests

GOOD: list[Any] = ["/a/b", "file", 3, 0o644, "user", "group", 1.5, None, '"1-2"', None]


def test_a_record_becomes_an_entry() -> None:
    """With the fields that it has, and no others."""
    assert entry_of(GOOD) == {
        "path": "/a/b",
        "name": "b",
        "type": "file",
        "size": 3,
        "mode": "0644",
        "owner": "user",
        "group": "group",
        "modified_at": 1.5,
        "etag": '"1-2"',
    }
    named = entry_of([*GOOD[:7], "target", None, "L2EvYg=="])
    assert (named["target"], path_of(named)) == ("target", b"/a/b")
    assert entry_of(["/", "directory", *GOOD[2:8], None, None])["name"] == "/"


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (0, 7),
        (0, "x" * 100_000),
        (1, "page"),
        (2, -1),
        (2, True),
        (2, 2**64),
        (3, 0o100000),
        (4, None),
        (6, "now"),
        (6, float("inf")),
        (7, 5),
        (8, '"\r\nSet-Cookie: x"'),
        (8, "no quotes"),
        (8, '"' + "1" * 200 + '"'),
        (9, "not base64!"),
    ],
)
def test_a_broken_record_is_refused(at: int, value: object) -> None:
    """Above all what would get into a header."""
    record = [*GOOD]
    record[at] = value

    for broken in (record, GOOD[:-1], None, {}, 7):
        with pytest.raises(ProtocolBroken):
            entry_of(broken)


@pytest.mark.parametrize("encoded", ["L3RtcC//", "L3RtcC__", "L3RtcC//\n", "L3RtcC//="])
def test_base64_of_both_alphabets(encoded: str) -> None:
    """Clients use what their libraries give them."""
    if encoded.endswith(("\n",)):
        with pytest.raises(BadPath):
            paths_in_requests.path_of(None, encoded)
    else:
        assert paths_in_requests.path_of(None, encoded) == b"/tmp\x2f\xff"


@pytest.mark.parametrize("name", ["", "/a", "..", "a/../b", "a\0"])
def test_a_name_in_a_form_stays_below_its_directory(name: str) -> None:
    """And others lead there."""
    with pytest.raises(BadPath):
        below(b"/dir", name)
    assert below(b"/dir/", "a/b") == b"/dir/a/b"
