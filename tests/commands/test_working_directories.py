"""No command starts in /proc, whatever name its directory goes by."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.clients import Connection, connect
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine

LINKS = """
ln -sfn /proc /tmp/to-proc; ln -sfn to-proc /tmp/twice; ln -sfn /proc/self/cwd /tmp/to-cwd
ln -sfn /proc/1/root /tmp/to-root; ln -sfn / /tmp/to-slash; mkdir -p /tmp/ordinary/sub
ln -sfn ordinary/sub /tmp/to-sub; ln -sfn loop /tmp/loop; ln -sfn /proc/self/fd proc-in-home
"""


@pytest.fixture(scope="module")
def connection(shared_gateway: GatewayProcess) -> Iterator[Connection]:
    sandbox_id = shared_gateway.create()
    opened = connect(shared_gateway, sandbox_id)
    opened.output_of(LINKS)
    opened.close()
    yield lambda: connect(shared_gateway, sandbox_id)
    shared_gateway.delete(f"/sandboxes/{sandbox_id}")


@pytest.mark.parametrize("fields", [{}, {"session": "where"}], ids=["plain", "session"])
@pytest.mark.parametrize(
    "cwd",
    [
        *("/proc", "/proc/", "/proc/self", "//proc/self", "///proc//self/", "/./proc/1"),
        *("/tmp/../proc/1", "../../proc", "../user/../../proc/self/fd", "/proc/self/cwd"),
        *("/tmp/to-proc/self", "/tmp/twice/self/fd", "/tmp/to-cwd", "/tmp/to-root/tmp"),
        *("/tmp/to-slash/proc/self", "proc-in-home", "/proc/self/root/tmp", "/proc/../tmp"),
    ],
)
def test_a_directory_in_proc_is_refused(connection, cwd: str, fields: dict[str, str]) -> None:
    """Behind a leaked descriptor lies what is not the sandbox's."""
    with connection() as opened:
        result = opened.run("pwd", cwd=cwd, **fields)
    assert (result["returncode"], result["output"]) == (126, ""), result
    assert "/proc" in result["error"]


@pytest.mark.parametrize("fields", [{}, {"session": "where"}], ids=["plain", "session"])
@pytest.mark.parametrize(
    ("cwd", "wanted"),
    [
        *(("/tmp", "/tmp"), ("//tmp/ordinary/", "/tmp/ordinary"), ("/tmp/to-sub", None)),
        *(("/tmp/to-slash/usr", None), (".", "/home/user"), ("..", "/home"), ("", "/home/user")),
        *(("/usr/../tmp/ordinary/sub/..", "/tmp/ordinary"), ("/", "/"), ("../../tmp", "/tmp")),
    ],
)
def test_every_other_directory_is_taken(
    connection, cwd: str, wanted: str | None, fields: dict[str, str]
) -> None:
    """The guard is against one file system only."""
    with connection() as opened:
        result = opened.run("pwd -P", cwd=cwd, **fields)
    assert result["returncode"] == 0, result
    if wanted is not None:
        assert result["output"] == f"{wanted}\n"


@pytest.mark.parametrize("cwd", ["/tmp/loop", "/nowhere", "/etc/passwd", "/root/x", "a" * 300])
def test_what_is_no_directory_is_refused(connection, cwd: str) -> None:
    """With a shell's code for what cannot be done, and the name that was asked for."""
    with connection() as opened:
        result = opened.run("pwd", cwd=cwd)
    assert result["returncode"] == 126
    assert result["error"]
