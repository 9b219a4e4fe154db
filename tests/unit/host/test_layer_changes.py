"""What counts as added, modified and deleted, in directories that stand for layers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.host import layer_changes, layer_index
from gateway.host.layer_changes import Image, changes_between
from gateway.host.layer_index import NOTHING, Index, indexed
from tests.support.eventually import eventually


class Layers:
    """A writable layer above two of an image."""

    def __init__(self, directory: Path) -> None:
        self.upper, self.middle, self.lowest = (directory / name for name in ("2", "1", "0"))
        for layer in (self.upper, self.middle, self.lowest):
            layer.mkdir()

    def index(self) -> Index:
        return indexed(str(self.upper))

    def changes(self, before: Index = NOTHING) -> dict[str, list[bytes]]:
        """By kind."""
        image = Image([str(self.middle), str(self.lowest)])
        found = changes_between(before, self.index(), image)
        return {kind: list(getattr(found, kind)) for kind in ("added", "modified", "deleted")}


@pytest.fixture
def layers(tmp_path: Path) -> Layers:
    made = Layers(tmp_path)
    (made.lowest / "etc").mkdir()
    for name in ("etc/a", "etc/b", "etc/passwd", "top"):
        (made.lowest / name).write_text("of the image")
    return made


def _whiteout(path: Path) -> None:
    os.mknod(path, 0o020600, 0)


def _copied_up(layers: Layers, name: str, text: str = "of the image") -> Path:
    source, target = layers.lowest / name, layers.upper / name
    target.parent.mkdir(exist_ok=True)
    target.write_text(text)
    entry = source.stat()
    os.utime(target, ns=(entry.st_atime_ns, entry.st_mtime_ns))
    return target


def test_against_the_image(layers: Layers) -> None:
    """Directories that are there for what is in them are not named."""
    _copied_up(layers, "etc/a").write_text("another")
    _whiteout(layers.upper / "etc/b")
    (layers.upper / "new/below").mkdir(parents=True)
    (layers.upper / "new/below/file").touch()

    assert layers.changes() == {
        "added": [b"new", b"new/below", b"new/below/file"],
        "modified": [b"etc/a"],
        "deleted": [b"etc/b"],
    }


def test_what_was_copied_and_not_changed_is_not_named(layers: Layers) -> None:
    """The gateway copies what is of the image's user, and writes the file of users."""
    _copied_up(layers, "etc/a")
    _copied_up(layers, "etc/passwd", "with another number")

    assert layers.changes() == {"added": [], "modified": [], "deleted": []}


def _put_back(path: Path) -> None:
    entry = path.stat()
    path.write_text("OF THE IMAGE")
    os.utime(path, ns=(entry.st_atime_ns, entry.st_mtime_ns))


def _rewritten_with_its_times(path: Path) -> None:
    entry = path.stat()
    path.unlink()
    path.write_text("of the image")
    os.utime(path, ns=(entry.st_atime_ns, entry.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_text("longer than before"),
        lambda path: path.chmod(0o600),
        lambda path: os.chown(path, 5, -1),
        _put_back,
        _rewritten_with_its_times,
        lambda path: (path.unlink(), path.mkdir()),
        lambda path: (path.unlink(), path.symlink_to("/etc/shadow")),
    ],
)
def test_between_two_moments_nothing_stays_hidden(
    layers: Layers, change: Callable[[Path], object]
) -> None:
    """Size and times can be put back; the change time cannot."""
    path = _copied_up(layers, "etc/a")
    before = layers.index()
    assert layers.changes(before)["modified"] == []

    change(path)

    assert layers.changes(before) == {"added": [], "modified": [b"etc/a"], "deleted": []}


def test_between_two_moments(layers: Layers) -> None:
    """What the image had and what was made since the start; names of any bytes."""
    (layers.upper / "tree/below").mkdir(parents=True)
    (layers.upper / "tree/below/file").touch()
    (layers.upper / "old").touch()
    (layers.upper / "etc").mkdir()
    _whiteout(layers.upper / "etc/b")
    before = layers.index()

    os.rename(layers.upper / "old", os.fsencode(layers.upper) + b"/new-\xff")
    (layers.upper / "tree/below/file").unlink()
    (layers.upper / "tree/below").rmdir()
    (layers.upper / "tree").rmdir()
    _copied_up(layers, "etc/a", "changed")
    (layers.upper / "etc/b").unlink()
    (layers.upper / "etc/b").write_text("there again")
    _whiteout(layers.upper / "top")

    assert layers.changes(before) == {
        "added": [b"etc/b", b"new-\xff"],
        "modified": [b"etc/a"],
        "deleted": [b"old", b"top", b"tree"],
    }


def test_a_directory_made_anew_hides_what_the_image_had(layers: Layers) -> None:
    """What is there again was changed, whatever the layer had of it at first."""
    (layers.upper / "etc").mkdir()
    os.setxattr(layers.upper / "etc", "trusted.overlay.opaque", b"y")
    (layers.upper / "etc/a").write_text("its own")

    assert layers.changes() == {
        "added": [],
        "modified": [b"etc/a"],
        "deleted": [b"etc/b", b"etc/passwd"],
    }


def test_so_do_directories_in_one_made_anew(layers: Layers) -> None:
    """Which carry no mark of their own; and what had been hidden before is not lost again."""
    (layers.lowest / "etc/below/deep").mkdir(parents=True)
    for name in ("etc/below/one", "etc/below/two", "etc/below/deep/three"):
        (layers.lowest / name).touch()
    (layers.upper / "etc/below").mkdir(parents=True)
    _whiteout(layers.upper / "etc/below/two")
    before = layers.index()

    os.setxattr(layers.upper / "etc", "trusted.overlay.opaque", b"y")
    (layers.upper / "etc/below/two").unlink()
    (layers.upper / "etc/below/deep").mkdir()
    once = layers.index()

    assert layers.changes(before) == {
        "added": [],
        "modified": [],
        "deleted": [
            b"etc/a",
            b"etc/b",
            b"etc/below/deep/three",
            b"etc/below/one",
            b"etc/passwd",
        ],
    }
    (layers.upper / "etc/below/one").touch()
    assert layers.changes(once) == {"added": [b"etc/below/one"], "modified": [], "deleted": []}


def test_links_lead_nowhere(layers: Layers, tmp_path: Path) -> None:
    """Neither what is there nor what takes a directory's place while it is looked at."""
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "file").touch()
    (layers.upper / "link").symlink_to(secret)

    assert list(layers.index().entries) == [b"link"]
    with pytest.raises(OSError, match="directory"):
        indexed(str(layers.upper / "link"))


@pytest.mark.parametrize("bound", ["MOST_ENTRIES", "MOST_DEPTH"])
def test_number_and_depth_are_bounded(
    layers: Layers, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    """It is said, and what was not looked at is not called deleted."""
    (layers.upper / "a/b/c/d/e/f").mkdir(parents=True)
    before = layers.index()
    monkeypatch.setattr(layer_index, bound, 3)

    found = changes_between(before, layers.index(), Image([]))

    assert len(layers.index().entries) == 3
    assert found.truncated
    assert found.deleted == ()


def test_what_was_not_looked_at_before_is_not_called_new(
    layers: Layers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only what has changed since: its change time says so."""
    for number in range(6):
        path = layers.upper / f"{number}"
        path.touch()
    eventually(lambda: _is_older(path, layers), within_s=5)
    monkeypatch.setattr(layer_index, "MOST_ENTRIES", 3)
    before = layers.index()
    monkeypatch.undo()
    (layers.upper / "new").touch()

    found = changes_between(before, layers.index(), Image([]))

    assert (found.added, found.modified, found.truncated) == ((b"new",), (), True)


def _is_older(path: Path, layers: Layers) -> bool:
    return path.stat().st_ctime_ns < layers.index().began_ns


def test_walks_end_in_time(layers: Layers, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not reached is not told, and that is."""
    (layers.upper / "a/b").mkdir(parents=True)
    monkeypatch.setattr(layer_index, "MOST_S", -1.0)
    late = layers.index()
    monkeypatch.undo()
    monkeypatch.setattr(layer_changes, "MOST_S", -1.0)
    found = changes_between(NOTHING, layers.index(), Image([]))

    assert (list(late.entries), late.is_whole) == ([b"a"], False)
    assert (found.added, found.truncated) == ((), True)


def test_a_deep_tree_is_no_trouble(layers: Layers) -> None:
    """5,000 directories in one another; no path is as long, and no stack as high."""
    at = os.open(layers.upper, os.O_RDONLY)
    for _ in range(5000):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)

    found = layers.index()

    assert not found.is_whole
    assert len(found.entries) == layer_index.MOST_DEPTH
    _remove_deep(layers.upper)


def _remove_deep(top: Path) -> None:
    """As rm(1) does, which keeps no path either."""
    assert os.spawnvp(os.P_WAIT, "rm", ["rm", "-rf", f"{top}/d"]) == 0


def test_lists_are_bounded_and_counts_are_not(
    layers: Layers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_changes, "MOST_PATHS", 5)
    for number in range(8):
        (layers.upper / f"{number}").touch()

    found = changes_between(NOTHING, layers.index(), Image([str(layers.lowest)]))

    assert found.added == (b"0", b"1", b"2", b"3", b"4")
    assert found.counts == {"added": 8, "modified": 0, "deleted": 0}
    assert found.truncated


def test_long_names_are_bounded_by_their_bytes(
    layers: Layers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_changes, "MOST_PATH_BYTES", 500)
    for number in range(3):
        (layers.upper / f"{number}{'x' * 199}").touch()

    found = changes_between(NOTHING, layers.index(), Image([]))

    assert [len(path) for path in found.added] == [200, 200]
    assert (found.counts["added"], found.truncated) == (3, True)
