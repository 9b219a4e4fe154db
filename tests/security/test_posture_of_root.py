"""What root cannot do in its sandbox: section G of the attacks, as root."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.security.conftest import Place
from tests.support.rest_commands import result_of

ATTEMPTS = [
    "mount -t tmpfs none /mnt",
    "mount --bind /proc /mnt",
    "umount /proc",
    "unshare -U -r true",
    "unshare -m true",
    "chroot / true",
    "mknod /tmp/disk b 8 0",
    "mknod /tmp/memory c 1 1",
    "dmesg",
    "cat /dev/mem",
    "hostname changed",
    "date -s 2000-01-01",
    "ip link set lo down",
    "ip route add 10.0.0.0/8 dev lo",
    "setpriv --inh-caps=+sys_admin --ambient-caps=+sys_admin true",
    'python3 -c \'import os; os.setxattr("/usr/bin/id", "security.capability", bytes(20))\'',
    'python3 -c \'import os; os.setxattr("/srv", "trusted.overlay.opaque", b"y")\'',
    "prlimit --nofile=1000000 true",
    "prlimit --fsize=unlimited true",
    "nice -n -5 sh -c 'test $(nice) = -5'",
    "python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW)'",
    "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)'",
]


@pytest.fixture
def root(places: Callable[[str], Place]) -> Place:
    return places("root")


def test_what_needs_more_than_the_seven_fails(root: Place) -> None:
    """Tried for real, by `sudo` and as root, and the sandbox goes on."""
    for attempt in ATTEMPTS:
        result = result_of(root.gateway, root.sandbox_id, f"timeout 5 {attempt}", user="root")
        assert result["returncode"] not in (0, 124), (attempt, result)
    by_sudo = "; ".join(f"sudo timeout 5 {attempt} && echo done: $?" for attempt in ATTEMPTS)
    assert "done:" not in result_of(root.gateway, root.sandbox_id, by_sudo)["output"]
    alive = result_of(root.gateway, root.sandbox_id, "kill -9 1; id -u", user="root")
    assert alive["output"] == "0\n", alive


def test_root_sees_and_reaches_nobody_else(root: Place) -> None:
    """Neither the host's processes, nor the gateway, nor another sandbox's server."""
    gateway, other = root.gateway, root.create()
    try:
        names = set(
            result_of(gateway, root.sandbox_id, "ps -eo comm=", user="root")["output"].split()
        )
        assert names <= {"docker-init", "sleep", "sbxgwd", "sbxgwl", "sbxgwf", "bash", "ps"}, names
        serve = "setsid python3 -m http.server 8099 >/dev/null 2>&1 & until ss -ltn | grep -q :8099"
        result_of(gateway, other, f"{serve}; do sleep 0.05; done", user="root")
        address = gateway.get(f"/sandboxes/{other}").json()["ip_address"]
        [network] = gateway.engine.inspect(other)["NetworkSettings"]["Networks"].values()
        for host, port in ((address, 8099), (network["Gateway"], gateway.port)):
            ask = f"import socket; socket.create_connection(('{host}', {port}), 2)"
            tried = result_of(gateway, root.sandbox_id, f'python3 -c "{ask}"', user="root")
            assert tried["returncode"] == 1, (host, tried)
    finally:
        assert gateway.delete(f"/sandboxes/{other}").status_code == 200
