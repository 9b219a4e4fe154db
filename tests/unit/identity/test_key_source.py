"""Keys change while the gateway runs, and a broken file locks nobody out."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from gateway.errors import SettingsError
from gateway.identity.key_source import LOOK_S, KeySource
from gateway.identity.keys import line_of
from tests.support.keys import ALICE, BOB, NOBODYS


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> _Clock:
    return _Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text(line_of("alice", ALICE))
    return path


def _opens(source: KeySource, key: str) -> bool:
    return source.current().find(key) is not None


def test_both_places_count() -> None:
    """And where there is neither, no key is needed."""
    assert not KeySource().configured
    assert KeySource(f"alice:{ALICE}").configured


def test_keys_of_both_places_are_valid(path: Path) -> None:
    """An operator may have one in the environment for himself, and the others in a file."""
    source = KeySource(f"bob:{BOB}", path)

    assert _opens(source, ALICE)
    assert _opens(source, BOB)
    assert not _opens(source, NOBODYS)


def test_a_changed_file_counts_within_a_second(path: Path, clock: _Clock) -> None:
    """Written in place, and replaced by another file of the same size and time."""
    source = KeySource("", path, clock)
    path.write_text(line_of("bob", BOB))
    assert _opens(source, ALICE), "it is not looked at for every request"

    clock.now += LOOK_S
    assert not _opens(source, ALICE)
    assert _opens(source, BOB)

    found = path.stat()
    other = path.with_name("other")
    other.write_text(line_of("bob", ALICE))
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    os.replace(other, path)
    clock.now += LOOK_S
    assert _opens(source, ALICE)
    assert not _opens(source, BOB)


@pytest.mark.parametrize(
    "content", [b"", b"# none\n", b"alice sha256:12", b"\xff\xfe", b"x" * 2**21]
)
def test_a_broken_file_keeps_the_old_keys_and_is_reported(
    path: Path, clock: _Clock, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, not with every request; and a repaired one counts again."""
    source = KeySource("", path, clock)
    path.write_bytes(content)

    for _ in range(3):
        clock.now += LOOK_S
        assert _opens(source, ALICE)
    [record] = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert str(path) in record.getMessage()

    path.write_text(line_of("bob", BOB))
    clock.now += LOOK_S
    assert _opens(source, BOB)
    assert not _opens(source, ALICE)


def test_a_missing_file_keeps_the_old_keys(
    path: Path, clock: _Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """Editors and configuration management remove a file before they write the new one."""
    source = KeySource("", path, clock)
    path.unlink()

    for _ in range(3):
        clock.now += LOOK_S
        assert _opens(source, ALICE)
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1
    path.write_text(line_of("bob", BOB))
    clock.now += LOOK_S
    assert _opens(source, BOB)


@pytest.mark.parametrize(
    ("inline", "content", "variable"),
    [
        ("alice:short", None, "SANDBOX_API_KEYS is wrong"),
        (" , ", None, "SANDBOX_API_KEYS is wrong"),
        ("", "", "SANDBOX_API_KEYS_FILE="),
        ("", "nonsense", "SANDBOX_API_KEYS_FILE="),
        (f"bob:{ALICE}", line_of("alice", ALICE), "SANDBOX_API_KEYS_FILE="),
    ],
)
def test_what_is_wrong_at_the_start_is_an_error(
    tmp_path: Path, inline: str, content: str | None, variable: str
) -> None:
    """One line with the variable's name; a gateway with no key that works would help nobody."""
    path = None
    if content is not None:
        path = tmp_path / "keys"
        path.write_text(content)

    with pytest.raises(SettingsError) as raised:
        KeySource(inline, path)

    assert variable in str(raised.value)
    assert "\n" not in str(raised.value)
    assert ALICE not in str(raised.value)


def test_a_file_that_is_not_there_at_the_start_is_an_error(tmp_path: Path) -> None:
    """A misspelt path must not open the gateway to everybody."""
    with pytest.raises(SettingsError, match="No such file"):
        KeySource("", tmp_path / "missing")
