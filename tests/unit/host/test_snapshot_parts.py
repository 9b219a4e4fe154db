"""What disks of snapshots are made with: files without names, maps of owners, files of users."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.host import programs
from gateway.host.ext4_sizes import file_system_bytes
from gateway.host.file_clones import clone, way_on
from gateway.host.nameless_files import give_name, handle_of, nameless_file, opened_by
from gateway.host.owner_maps import namespace_swapping, swapped
from gateway.host.snapshot_disk import _rename_user


@pytest.mark.parametrize(
    ("uids", "lines"),
    [
        ((7, 9), ["0 0 7", "7 9 1", "8 8 1", "9 7 1", f"10 10 {2**32 - 11}"]),
        ((9, 7), ["0 0 7", "7 9 1", "8 8 1", "9 7 1", f"10 10 {2**32 - 11}"]),
        ((7, 8), ["0 0 7", "7 8 1", "8 7 1", f"9 9 {2**32 - 10}"]),
        ((0, 1), ["0 1 1", "1 0 1", f"2 2 {2**32 - 3}"]),
    ],
)
def test_two_change_places_and_nobody_else(uids: tuple[int, int], lines: list[str]) -> None:
    assert swapped(uids).splitlines() == lines


def test_the_kernel_takes_the_map() -> None:
    """And the namespace outlives the process that it was made by."""
    made = namespace_swapping((70_000, 80_000))

    assert os.readlink(made.path()).startswith("user:")
    assert os.fstat(made.fd).st_ino != os.stat("/proc/self/ns/user").st_ino


def test_a_file_without_a_name_is_found_by_its_handle_while_it_is_held(tmp_path: Path) -> None:
    made = nameless_file(tmp_path, 10)
    os.pwrite(made.fd, b"well", 0)
    handle = handle_of(made)

    assert os.pread(opened_by(handle, tmp_path).fd, 10, 0) == b"well" + bytes(6)
    assert list(tmp_path.iterdir()) == []
    del made
    with pytest.raises(OSError, match="Stale"):
        opened_by(handle, tmp_path)


def test_a_name_is_given_in_one_step_and_once(tmp_path: Path) -> None:
    give_name(nameless_file(tmp_path, 3), tmp_path / "name")

    assert (tmp_path / "name").read_bytes() == bytes(3)
    with pytest.raises(FileExistsError):
        give_name(nameless_file(tmp_path), tmp_path / "name")


@pytest.mark.parametrize("pieces", [[], [(0, 5)], [(1 << 40, 70_000)], [(3, 1), (200_000_000, 9)]])
def test_a_clone_has_the_holes_too(tmp_path: Path, pieces: list[tuple[int, int]]) -> None:
    """A terabyte of nothing takes no time and no room."""
    source, target = nameless_file(tmp_path, 2 << 40), nameless_file(tmp_path)
    for start, length in pieces:
        os.pwrite(source.fd, b"x" * length, start)

    clone(source, target)

    assert target.size_bytes() == 2 << 40
    assert target.used_bytes() <= source.used_bytes() + 4096
    for start, length in pieces:
        assert os.pread(target.fd, length + 2, start)[:length] == b"x" * length


def test_how_files_are_copied_is_tried(tmp_path: Path) -> None:
    assert way_on(tmp_path) in ("reflink", "copy")


_PASSWD = b"root:x:0:0::/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n"


def test_the_user_of_a_fork_is_written_where_the_file_was(tmp_path: Path) -> None:
    """It stays the same file with the same times, so that it does not count as changed."""
    (tmp_path / "diff/etc").mkdir(parents=True)
    file = tmp_path / "diff/etc/passwd"
    file.write_bytes(_PASSWD)
    os.utime(file, ns=(123_456_789, 987_654_321))
    before = file.stat()

    _rename_user(tmp_path, (1000, 70_000))
    assert file.read_bytes() == _PASSWD.replace(b"x:1000", b"x:70000")
    _rename_user(tmp_path, (70_000, 1000))

    assert file.read_bytes() == _PASSWD
    after = file.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    "kind", ["none", "link", "directory", "fifo", "linked above", "file above"]
)
def test_what_a_tenant_put_in_its_place_is_left_alone(tmp_path: Path, kind: str) -> None:
    """A link there would have the gateway write to the host's own file."""
    hosts = tmp_path / "host"
    hosts.mkdir()
    (hosts / "passwd").write_bytes(_PASSWD)
    etc = tmp_path / "diff/etc"
    (tmp_path / "diff").mkdir()
    if kind == "linked above":
        etc.symlink_to(hosts)
    elif kind == "file above":
        etc.touch()
    else:
        etc.mkdir()
    if kind == "link":
        (etc / "passwd").symlink_to(hosts / "passwd")
    elif kind == "directory":
        (etc / "passwd").mkdir()
    elif kind == "fifo":
        os.mkfifo(etc / "passwd")

    _rename_user(tmp_path, (1000, 70_000))

    assert (hosts / "passwd").read_bytes() == _PASSWD


@pytest.mark.parametrize("size_mb", [16, 64, 300])
def test_a_file_system_says_how_long_it_is(tmp_path: Path, size_mb: int) -> None:
    """Also when its file has become shorter since."""
    made = nameless_file(tmp_path, size_mb << 20)
    programs.run(["mkfs.ext4", "-q", "-b", "4096", made.path()])

    assert file_system_bytes(made) == size_mb << 20
    os.truncate(made.fd, 8 << 20)
    assert file_system_bytes(made) == size_mb << 20


@pytest.mark.parametrize("content", [b"", bytes(1050), bytes(4096), b"\xff" * 4096])
def test_what_is_no_file_system_has_no_length(tmp_path: Path, content: bytes) -> None:
    made = nameless_file(tmp_path)
    os.pwrite(made.fd, content, 0)

    assert file_system_bytes(made) == 0
