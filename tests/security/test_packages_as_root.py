"""`apt-get install`, which root is there for: with seven capabilities and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.security.conftest import Place
from tests.support.rest_commands import result_of

MAKE = r"""
set -e
mkdir -p /tmp/made/DEBIAN /tmp/made/usr/bin /tmp/made/var/lib/greeting /srv/packages
cd /tmp/made
printf 'Package: greeting\nVersion: %s\nArchitecture: all\nMaintainer: a <a@b>\nDescription: -\n' \
    "$1" > DEBIAN/control
printf '#!/bin/sh\necho hello %s\n' "$1" > usr/bin/greeting
# What maintainers' scripts do: accounts, owners, set-uid bits, other users.
cat > DEBIAN/postinst <<'END'
#!/bin/sh
set -e
getent passwd greeter >/dev/null || useradd --system --home-dir /var/lib/greeting greeter
chown greeter: /var/lib/greeting
chmod 2750 /var/lib/greeting
chmod u+s /usr/bin/greeting
setpriv --reuid greeter --clear-groups touch /var/lib/greeting/by-greeter
END
chmod 755 usr/bin/greeting DEBIAN/postinst
dpkg-deb --root-owner-group -b . /srv/packages/greeting.deb >/dev/null
cd /srv/packages
{
    dpkg-deb -f greeting.deb
    echo "Filename: ./greeting.deb"
    echo "Size: $(stat -c %s greeting.deb)"
    echo "SHA256: $(sha256sum greeting.deb | cut -d' ' -f1)"
    echo
} > Packages
mkdir -p /etc/apt/sources.list.d.before
mv /etc/apt/sources.list.d/* /etc/apt/sources.list.d.before/ 2>/dev/null || true
echo 'deb [trusted=yes] file:/srv/packages ./' > /etc/apt/sources.list
"""


@pytest.fixture
def sandbox_id(places: Callable[[str], Place]) -> str:
    return places("root").create()


def test_apt_get_installs_upgrades_and_removes(
    places: Callable[[str], Place], sandbox_id: str
) -> None:
    """From a source that is made here: as root, and by `sudo` as people type it."""
    gateway = places("root").gateway

    def done(command: str, **fields: object) -> str:
        result = result_of(gateway, sandbox_id, command, **fields)
        assert result["returncode"] == 0, (result["output"][-2000:], result["error"][-2000:])
        return str(result["output"])

    quiet = "DEBIAN_FRONTEND=noninteractive apt-get -y -q"
    make = f"cat > /tmp/make.sh <<'MADE'\n{MAKE}MADE\n"
    done(f"{make}bash /tmp/make.sh 1.0 && apt-get -q update", user="root")
    done(f"{quiet} install greeting", user="root")
    assert done("greeting") == "hello 1.0\n"
    owners = "stat -c '%U %a' /var/lib/greeting /usr/bin/greeting"
    assert done(owners) == "greeter 2750\nroot 4755\n"
    assert done("sudo ls /var/lib/greeting") == "by-greeter\n"

    done("sudo bash /tmp/make.sh 2.0 && sudo apt-get -q update")
    done(f"sudo {quiet} upgrade")
    assert done("greeting; sudo -u greeter id -un") == "hello 2.0\ngreeter\n"
    done(f"sudo {quiet} purge greeting")
    gone = result_of(gateway, sandbox_id, "hash -r; greeting")
    assert gone["returncode"] == 127
    assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200


def test_a_set_uid_file_gives_nobody_anything(
    places: Callable[[str], Place], sandbox_id: str
) -> None:
    """Root may leave one: under `no_new_privs`, on a `nosuid` disk, it is a program like any."""
    gateway = places("root").gateway
    left = "cp /usr/bin/id /usr/bin/python3 /usr/local/bin/ && chmod 6755 /usr/local/bin/*"
    assert result_of(gateway, sandbox_id, left, user="root")["returncode"] == 0
    said = result_of(gateway, sandbox_id, "/usr/local/bin/id -u; /usr/local/bin/id -g")
    assert said["output"] == f"{gateway.engine.uid_of(sandbox_id)}\n1000\n"
    asked = "/usr/local/bin/python3 -c 'import os; print(os.geteuid()); os.setuid(0)'"
    said = result_of(gateway, sandbox_id, asked)
    assert said["output"] == f"{gateway.engine.uid_of(sandbox_id)}\n"
    assert "PermissionError" in said["error"]


def test_the_engines_own_files_are_no_room_beside_the_disk(
    places: Callable[[str], Place], sandbox_id: str
) -> None:
    """They lie on the host's disk: root could fill that, a file of the largest size each."""
    gateway = places("root").gateway
    for path in ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf"):
        for command in (f"echo x >> {path}", f"mount -o remount,rw {path}", f"umount {path}"):
            assert result_of(gateway, sandbox_id, command, user="root")["returncode"] != 0, command
        assert result_of(gateway, sandbox_id, f"test -s {path}")["returncode"] == 0
