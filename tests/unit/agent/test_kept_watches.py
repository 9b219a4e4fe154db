"""Watches that outlive a request, with events as E2B's clients expect them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.agent.files import in_place, kept_watches, paths
from tests.support.eventually import eventually
from tests.unit.agent.fake_channel import FakeChannel, packed


class KeptWatch:
    """One of a directory."""

    def __init__(self, directory: Path, **asked: bool) -> None:
        channel = FakeChannel()
        kept_watches.keep(channel, {"path": packed(directory), **asked})
        self.name = channel.told[0]["watch"]
        self._root = f"{directory}/"

    def told(self) -> list[Any]:
        """What was told since the last time, as the gateway gets it."""
        channel = FakeChannel()
        kept_watches.read(channel, {"watch": self.name})
        return channel.sent

    def events(self) -> list[tuple[str, str]]:
        return [(kind, path.removeprefix(self._root)) for kind, path, *_ in self.told()]

    def end(self) -> None:
        kept_watches.forget(FakeChannel(), {"watch": self.name})


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[KeptWatch]:
    made = KeptWatch(tmp_path, recursive=True, details=True)
    yield made
    made.end()


def upload(path: Path, content: bytes, **fields: Any) -> dict[str, Any]:
    channel = FakeChannel()
    message = {"path": packed(path), "body": content, **fields}
    in_place.overwrite(channel, message)
    return channel.told[-1]


def test_a_new_file_is_made_given_to_its_user_and_written(tmp_path: Path, watch: KeptWatch) -> None:
    """Three events, in this order, which are there as soon as the upload is."""
    done = upload(tmp_path / "new", b"content")

    assert watch.events() == [("created", "new"), ("attributes", "new"), ("written", "new")]
    assert (done["new"], (tmp_path / "new").stat().st_mode & 0o777) == (True, 0o644)
    assert watch.events() == []


def test_a_file_that_is_there_is_emptied_first(tmp_path: Path, watch: KeptWatch) -> None:
    """It stays the same file, so that who has it open sees the new content."""
    upload(tmp_path / "file", b"something long")
    inode = (tmp_path / "file").stat().st_ino
    watch.events()
    done = upload(tmp_path / "file", b"short")

    assert watch.events() == [("written", "file"), ("attributes", "file"), ("written", "file")]
    assert (tmp_path / "file").read_bytes() == b"short"
    assert ((tmp_path / "file").stat().st_ino, done["new"]) == (inode, False)


def test_metadata_replaces_all_earlier_ones(tmp_path: Path, watch: KeptWatch) -> None:
    """As extended attributes, with which the new file still makes three events."""
    done = upload(tmp_path / "file", b"1", metadata={"author": "me", "x_y-z": "two words"})
    assert watch.events() == [("created", "file"), ("attributes", "file"), ("written", "file")]
    assert done["stat"][10][5] == {"author": "me", "x_y-z": "two words"}
    assert os.getxattr(tmp_path / "file", "user.e2b.author") == b"me"

    os.setxattr(tmp_path / "file", "user.other", b"stays")
    assert upload(tmp_path / "file", b"2")["stat"][10][5] == {}
    assert os.listxattr(tmp_path / "file") == ["user.other"]


@pytest.mark.parametrize("metadata", [{"k" * 247: ""}, {"": "x"}, {"k": "v" * 4096}])
def test_metadata_beyond_the_bounds_leaves_nothing(
    tmp_path: Path, metadata: dict[str, str]
) -> None:
    """Neither the file nor the directories that were made for it."""
    with pytest.raises(paths.Refused) as refused:
        upload(tmp_path / "d" / "file", b"", metadata=metadata)

    assert refused.value.code == "bad_metadata"
    assert list(tmp_path.iterdir()) == []


def test_a_fifo_is_not_opened(tmp_path: Path) -> None:
    """Writing to it would wait for a reader, for ever."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(paths.Refused) as refused:
        upload(tmp_path / "fifo", b"")

    assert refused.value.code == "not_a_file"


def test_each_kind_of_event(tmp_path: Path, watch: KeptWatch) -> None:
    """A rename is two; names are told also of what is below."""
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "a").chmod(0o600)
    (tmp_path / "a").rename(tmp_path / "b")
    (tmp_path / "b").unlink()
    (tmp_path / "d").mkdir()
    assert watch.events() == [
        *[("created", "a"), ("written", "a"), ("attributes", "a")],
        *[("left", "a"), ("created", "b"), ("removed", "b"), ("created", "d")],
    ]

    (tmp_path / "d" / "e").mkdir()
    (tmp_path / "d").rename(tmp_path / "f")
    (tmp_path / "f" / "e" / "deep").write_bytes(b"")
    assert watch.events() == [
        *[("created", "d/e"), ("left", "d"), ("created", "f")],
        ("created", "f/e/deep"),
    ]


def test_what_was_put_into_a_new_directory_meanwhile_is_told(
    tmp_path: Path, watch: KeptWatch
) -> None:
    """However soon after it was made: directories made later are watched too."""
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"1")
    seen = watch.events()
    (deep / "file").write_bytes(b"2")

    wanted = [("created", "a"), ("created", "a/b"), ("created", "a/b/c"), ("created", "a/b/c/file")]
    assert [event for event in seen if event[0] == "created"] == wanted
    assert ("written", "a/b/c/file") in seen
    assert watch.events() == [("written", "a/b/c/file")]


def test_entries_come_with_what_is_there_only(tmp_path: Path, watch: KeptWatch) -> None:
    """Nothing is there of what was removed or has another name."""
    (tmp_path / "a").write_bytes(b"12345")
    before = watch.told()
    (tmp_path / "a").rename(tmp_path / "b")
    told = before + watch.told()

    assert [(kind, record is None) for kind, *_, record in told] == [
        *[("created", False), ("written", False), ("left", True), ("created", False)]
    ]
    assert told[-1][-1][2] == 5
    assert told[-1][-1][10][:2] == [True, True]


def test_a_directory_that_left_is_watched_no_more(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, watch: KeptWatch
) -> None:
    """What happens there is nobody's business here."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (tmp_path / "d").mkdir()
    watch.events()
    (tmp_path / "d").rename(elsewhere / "d")
    (tmp_path / "next").mkdir()
    watch.events()
    (elsewhere / "d" / "file").write_bytes(b"1")

    assert watch.events() == []


def test_a_file_cannot_be_watched_this_way(tmp_path: Path) -> None:
    """Nor what is not there."""
    (tmp_path / "file").write_bytes(b"")
    for name, kind in (("file", NotADirectoryError), ("none", FileNotFoundError)):
        with pytest.raises(kind):
            KeptWatch(tmp_path / name)


def test_watches_are_bounded_and_free_their_place(tmp_path: Path) -> None:
    """Each takes an instance of inotify, of which a user has few."""
    kept = [KeptWatch(tmp_path) for _ in range(kept_watches.MOST)]
    try:
        with pytest.raises(paths.Refused) as refused:
            KeptWatch(tmp_path)
        assert refused.value.code == "too_many_watches"
        assert kept_watches.are_any()
    finally:
        for one in kept:
            one.end()
    assert not kept_watches.are_any()
    KeptWatch(tmp_path).end()
    with pytest.raises(paths.Refused) as unknown:
        kept[0].told()
    assert unknown.value.code == "unknown_watch"


def test_events_that_nobody_asks_for_are_bounded(
    tmp_path: Path, watch: KeptWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is lost is told, once, and what comes later is there."""
    monkeypatch.setattr(kept_watches, "MOST_EVENTS", 50)
    for number in range(200):
        (tmp_path / str(number)).touch()
    (tmp_path / "last").mkdir()

    assert watch.told() == [["overflow", None, None, None, None, None]]
    told = watch.events()
    assert told[-1] == ("created", "last")
    assert len(told) <= 50
    assert watch.events() == []


def test_an_unused_watch_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else would end it: its client may be gone."""
    kept = KeptWatch(tmp_path)
    monkeypatch.setattr(kept_watches, "UNUSED_S", -1.0)
    other = KeptWatch(tmp_path)  # wakes who looks

    eventually(lambda: not kept_watches.are_any(), within_s=5)
    for one in (kept, other):
        with pytest.raises(paths.Refused):
            one.told()


def test_the_watched_directory_itself(tmp_path: Path) -> None:
    """That it goes is told too."""
    (tmp_path / "d").mkdir()
    kept = KeptWatch(tmp_path / "d")
    (tmp_path / "d").rmdir()

    assert ("removed", str(tmp_path / "d")) in kept.events()
    kept.end()
