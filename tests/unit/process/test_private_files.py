"""What other users of the machine may read of the gateway: nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.errors import SettingsError
from gateway.process.private_files import close_key_file, close_to_others


def _mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


@pytest.mark.parametrize("known_by", [None, "gateway.db", "token_secret", "audit.jsonl"])
def test_an_open_directory_of_a_gateway_is_closed(tmp_path: Path, known_by: str | None) -> None:
    """With all that is in it. Links are left alone: what they lead to may be another's."""
    directory, outside = tmp_path / "data", tmp_path / "outside"
    directory.mkdir()
    directory.chmod(0o755)
    outside.touch()
    outside.chmod(0o644)
    if known_by is not None:
        (directory / known_by).touch()
        (directory / known_by).chmod(0o644)
        (directory / "workers").mkdir()
        (directory / "workers" / "1.lock").touch()
        (directory / "link").symlink_to(outside)

    close_to_others(directory)

    assert _mode(directory) == 0o700
    for path in directory.rglob("*"):
        assert path.is_symlink() or _mode(path) & 0o077 == 0, path
    assert _mode(outside) == 0o644


def test_a_missing_directory_is_made(tmp_path: Path) -> None:
    close_to_others(tmp_path / "a" / "b")

    assert _mode(tmp_path / "a" / "b") == 0o700


def test_an_open_directory_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """Closing `/tmp` or a home would shut out whoever uses it."""
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o1777)
    (directory / "report.txt").touch()

    with pytest.raises(SettingsError, match=r"SANDBOX_DATA_DIR=.*shared"):
        close_to_others(directory)

    assert directory.stat().st_mode & 0o1777 == 0o1777


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o666])
def test_a_file_of_keys_is_closed(tmp_path: Path, mode: int) -> None:
    keys = tmp_path / "keys"
    keys.touch()
    keys.chmod(mode)

    close_key_file(keys)

    assert _mode(keys) == 0o600


def test_a_file_of_keys_that_others_write_is_refused(tmp_path: Path) -> None:
    """Whoever can add a line to it has a key. A link is not followed to change what it leads to."""
    keys, link = tmp_path / "keys", tmp_path / "link"
    keys.touch()
    link.symlink_to(keys)
    keys.chmod(0o644)
    close_key_file(link)
    assert _mode(keys) == 0o644
    keys.chmod(0o664)

    with pytest.raises(SettingsError, match="SANDBOX_API_KEYS_FILE"):
        close_key_file(link)
