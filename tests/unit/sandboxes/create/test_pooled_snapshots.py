"""Which snapshots are pooled, and which of them everybody may use."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import SettingsError
from gateway.sandboxes.create.pooled_snapshots import PooledSnapshots
from gateway.settings import load_settings
from gateway.store.database import Database
from gateway.store.snapshots import SnapshotRow, SnapshotStore

ROW = SnapshotRow("1", "there", "kept", "op", "base", None, "box", 1.0, "image", "sha256:1", 1, 64)


@pytest.fixture
def store(tmp_path) -> SnapshotStore:
    database = Database(tmp_path / "gateway.db")
    yield SnapshotStore(database)
    database.close()


def _noted(store: SnapshotStore, **said: object) -> SnapshotRow:
    row = replace(ROW, **said)
    store.begin(replace(row, state="making"), most=100, most_bytes=0)
    assert store.mark_there(row.snapshot_id, size_bytes=1, created_at=1.0)
    return row


def test_only_an_operators_is_everybodys(store: SnapshotStore) -> None:
    """Whatever others call theirs; and a name of the settings is needed besides."""
    pooled = PooledSnapshots([(None, "base"), ("alice", "own")], {"op"}, store)
    _noted(store, snapshot_id="a", owner="alice", name="base")
    own = _noted(store, snapshot_id="b", owner="alice", name="own")
    other = _noted(store, snapshot_id="c", name="other")
    assert pooled.promoted("base") is None
    assert pooled.promoted("a") is None
    assert [row.snapshot_id for row in pooled.all()] == ["b"]

    base = _noted(store, snapshot_id="d")
    for word in ("base", "d"):
        found = pooled.promoted(word)
        assert found is not None
        assert found.snapshot_id == "d"
    for word in ("own", "b", "other", "c"):
        assert pooled.promoted(word) is None
    assert {row.snapshot_id for row in pooled.all()} == {"b", "d"}
    assert pooled.holds(base)
    assert pooled.holds(own)
    for row in (other, replace(own, owner="op"), replace(base, owner="alice")):
        assert not pooled.holds(row)
    assert not pooled.holds(replace(base, name=None))


def test_without_keys_they_are_nobodys(store: SnapshotStore) -> None:
    """All sandboxes are one owner's there."""
    pooled = PooledSnapshots([(None, "base")], {""}, store)
    base = _noted(store, owner="")
    assert pooled.holds(base)
    assert [row.snapshot_id for row in pooled.all()] == ["1"]


def test_the_settings_name_them() -> None:
    """Beside images; and then the usual image is not pooled by itself."""
    settings = load_settings(pool_images="snapshot:a,python@strict,snapshot:key.1/b")
    assert settings.pooled_snapshots == ((None, "a"), ("key.1", "b"))
    assert settings.pooled == (("python", "strict"),)
    assert load_settings(pool_images="snapshot:a").pooled == ()
    for wrong in ("snapshot:", "snapshot:A", "snapshot:a/b/c", "snapshot:/b", "snapshot:a@strict"):
        with pytest.raises(SettingsError):
            load_settings(pool_images=wrong)
