"""The level `strict`: nothing to write to but small places in memory, and nobody to talk to."""

from __future__ import annotations

import pytest

from tests.security.conftest import Place
from tests.support.clients import connect

MEMORY_MB = 256
WRITABLE = ["/home/user", "/tmp", "/var/tmp", "/run", "/dev/shm"]


def test_only_the_named_places_can_be_written_to(strict: Place) -> None:
    """The rest is the image, read-only for root too."""
    with strict.connect() as client:
        found = client.output_of("find / -xdev -writable -not -type l 2>/dev/null | sort").split()
        mounts = client.output_of("findmnt -rno TARGET,OPTIONS || cat /proc/self/mounts")
        writable = client.output_of(
            "for p in " + " ".join(WRITABLE) + "; do touch $p/x && rm $p/x && echo $p; done"
        ).split()

    assert {*found} <= {*WRITABLE}, found  # the places themselves, and nothing else
    assert writable == WRITABLE
    assert " / overlay ro," in mounts or "\n/ ro," in f"\n{mounts}"


@pytest.mark.parametrize("path", WRITABLE)
def test_each_place_is_bounded_in_bytes_and_in_files(strict: Place, path: str) -> None:
    """In all of them together there is half of the memory: filling them kills nothing."""
    sandbox_id = strict.create()
    with connect(strict.gateway, sandbox_id) as client:
        filled = client.run(
            f"head -c 1G /dev/zero > {path}/big; stat -c %s {path}/big; rm {path}/big"
        )
        assert "No space left" in filled["error"]
        assert 0 < int(filled["output"]) <= MEMORY_MB * 1024 * 1024 // 2
        total = int(client.output_of(f"df --output=itotal {path} | tail -1"))
        size = int(client.output_of(f"df -k --output=size {path} | tail -1"))
        assert 0 < total <= max(256, size // 4)
        assert client.output_of("echo alive") == "alive\n"
    assert strict.gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200


def test_all_places_filled_at_once_leave_a_working_sandbox(strict: Place) -> None:
    """They are memory; a sandbox that could fill all of it with files would be dead."""
    sandbox_id = strict.create()
    with connect(strict.gateway, sandbox_id) as client:
        for path in WRITABLE:
            client.run(f"head -c 1G /dev/zero > {path}/big", within_s=60)
        assert client.output_of("echo alive; free -m | wc -l", within_s=30).startswith("alive\n")
        assert client.output_of("rm -f " + " ".join(f"{p}/big" for p in WRITABLE)) == ""
    strict.gateway.delete(f"/sandboxes/{sandbox_id}")


def test_programs_run_from_home_and_tmp_only(strict: Place) -> None:
    """People compile there; nobody installs into /run or shared memory."""
    with strict.connect() as client:
        for path in WRITABLE:
            result = client.run(f"cp /bin/true {path}/t && {path}/t; s=$?; rm {path}/t; exit $s")
            assert (result["returncode"] == 0) is (path in WRITABLE[:3]), path


def test_there_is_no_network(strict: Place) -> None:
    """Whatever was asked for."""
    with strict.connect() as client:
        links = client.output_of("ls /sys/class/net").split()
    assert links == ["lo"]
    shown = strict.gateway.get(f"/sandboxes/{strict.sandbox_id}").json()
    assert shown["ip_address"] is None
