"""Files at each isolation level: the same calls, and what a level forbids is told."""

from __future__ import annotations

from tests.security.conftest import Place
from tests.support.files import SandboxFiles, code_of


def test_files_work_at_each_level(place: Place) -> None:
    """Written, listed, moved and removed, in the home and in other places that can be written."""
    files = SandboxFiles(place.gateway, place.sandbox_id)
    for directory in ("level", "/tmp/level", "/dev/shm/level"):
        assert files.put(f"{directory}/small", b"1").status_code == 201
        assert files.put(f"{directory}/large", bytes(300_000)).status_code == 201
        assert files.put(f"{directory}/small", b"22").status_code == 200
        assert files.read(f"{directory}/small") == b"22"
        assert len(files.read(f"{directory}/large")) == 300_000
        names = {name.rpartition("/")[2] for name in files.names(directory)}
        assert names == {"small", "large"}
        moved = {"from": f"{directory}/small", "to": f"{directory}/moved"}
        assert files.post("move", **moved).status_code == 200
        taken = {"from": f"{directory}/large", "to": f"{directory}/moved"}
        assert code_of(files.post("copy", **taken), 409) == "already_exists"
        assert files.delete(directory, recursive="true").status_code == 204
    assert code_of(files.put("/usr/x", b"1"), 403) == "permission_denied"
