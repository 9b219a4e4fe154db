"""Ten forks of one moment are the source at that moment, bit for bit, while the source goes on
writing: from outside, with a tree of every kind of file and a database."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.rest_commands import in_background, result_of
from tests.support.rounds import rounds

FORKS = rounds(3, 10)

Entries = dict[str, list[Any]]
"""What there is of each file, by its name in hexadecimal digits."""

_FURNISH = r"""
import os, socket
os.makedirs("tree/deep/er", exist_ok=True)
os.chdir("tree")
open("plain", "w").write("well")
for name in ("hard", "deep/hard"):
    os.link("plain", name)
os.symlink("/etc/passwd", "soft")
os.symlink("nowhere", "dangling")
os.mkfifo("fifo", 0o640)
socket.socket(socket.AF_UNIX).bind("socket")
os.setxattr("plain", "user.mark", bytes([0, 255, 10]))
os.setxattr("deep", "user.long", b"x" * 3000)
for name in (b"not-\xff-utf8", b"new\nline", b".wh.no-whiteout", b" ", b"\x01"):
    open(name, "w").close()
with open("sparse", "wb") as file:
    file.truncate(900 << 20)
    for place in (0, 300 << 20, 800 << 20):
        file.seek(place)
        file.write(os.urandom(5000))
entries = ["01000700ffffffff", "0200040071110100", "04000400ffffffff", "10000400ffffffff"]
acl = bytes.fromhex("02000000" + "".join(entries) + "20000400ffffffff")
os.setxattr("deep", "system.posix_acl_access", acl)
os.setxattr("deep", "system.posix_acl_default", acl)
os.chmod("plain", 0o4751)
os.chmod("deep/er", 0o2770)
os.utime("plain", ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321))
os.utime("soft", ns=(5, 1_200_000_000_000_000_001), follow_symlinks=False)
held = open("gone", "wb")
held.write(bytes(1 << 20))
held.flush()
os.unlink("gone")
open("ready", "w").close()
import time
time.sleep(600)
"""

_DIGEST = r"""
import hashlib, json, os, stat
found, own = {}, os.getuid()
def told(place):
    entry = os.lstat(place)
    who = "own" if entry.st_uid == own else entry.st_uid
    times = [entry.st_atime_ns, entry.st_mtime_ns, entry.st_ctime_ns]
    # overlayfs numbers directories anew at each mount.
    number = 0 if stat.S_ISDIR(entry.st_mode) else entry.st_ino
    said = [number, oct(entry.st_mode), who, entry.st_gid, entry.st_nlink, entry.st_size]
    said += [entry.st_blocks, *times]
    if stat.S_ISLNK(entry.st_mode):
        return said + [os.readlink(place).hex()]
    said += [[x, os.getxattr(place, x).hex()] for x in sorted(os.listxattr(place))]
    if stat.S_ISREG(entry.st_mode):
        digest, end = hashlib.sha256(), 0
        with open(place, "rb", buffering=0) as file:
            while True:
                try:
                    start = os.lseek(file.fileno(), end, os.SEEK_DATA)
                except OSError:
                    break
                end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
                digest.update(b"%d-%d" % (start, end) + os.pread(file.fileno(), end - start, start))
        said.append(digest.hexdigest())
    return said
def look(place):
    found[place.hex()] = told(place)
    if stat.S_ISDIR(os.lstat(place).st_mode):
        for name in os.listdir(place):
            look(os.path.join(place, name))
os.chdir(os.path.expanduser("~"))
look(TREE.encode())
print(json.dumps(found, sort_keys=True))
"""

_WRITE = """
import os, sqlite3
database = sqlite3.connect("busy/data.db", isolation_level=None)
database.execute("PRAGMA journal_mode=WAL")
database.execute("PRAGMA synchronous=NORMAL")
database.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)")
number = 0
while True:
    number += 1
    database.execute("INSERT INTO rows VALUES (?, hex(randomblob(40)))", (number,))
    print(number, flush=True)
    with open("busy/last.new", "w") as file:
        file.write(str(number))
    os.rename("busy/last.new", "busy/last")
"""

_READ = """
import json, sqlite3
database = sqlite3.connect("busy/data.db")
[check] = database.execute("PRAGMA integrity_check").fetchone()
[count, last] = database.execute("SELECT count(*), max(id) FROM rows").fetchone()
print(json.dumps([check, count, last, int(open("busy/last").read())]))
"""


def _python(gateway: GatewayProcess, sandbox_id: str, code: str, **fields: Any) -> str:
    result = result_of(gateway, sandbox_id, f"cd ~ && python3 -c '{code}'", **fields)
    assert result["returncode"] == 0, result
    return str(result["output"])


def _digest(gateway: GatewayProcess, sandbox_id: str, tree: str) -> Entries:
    found: Entries = json.loads(_python(gateway, sandbox_id, _DIGEST.replace("TREE", f'"{tree}"')))
    return found


def _difference(one: Entries, other: Entries) -> dict[str, tuple[Any, Any]]:
    """Entries that are not the same, by name."""
    names = one.keys() | other.keys()
    return {
        bytes.fromhex(name).decode(errors="replace"): (one.get(name), other.get(name))
        for name in names
        if one.get(name) != other.get(name)
    }


def _committed(gateway: GatewayProcess, command: str) -> int:
    """The last row whose commit this client has been told of."""
    told = gateway.get(f"{command}/output").content
    return max((int(number) for number in re.findall(rb"(\d+)\n", told)), default=0)


def test_forks_are_the_source_at_one_moment(gateway: GatewayProcess, sandbox: str) -> None:
    """Content, owner as seen inside, mode, numbers, hard links, extended attributes, ACLs, times to
    the nanosecond, blocks and holes; a database opens in each, whole, with every row that was
    committed before the fork was asked for. A file that was deleted and still open is not there."""
    assert result_of(gateway, sandbox, "mkdir ~/busy")["returncode"] == 0
    in_background(gateway, sandbox, f"cd ~ && exec python3 -c '{_FURNISH}'", "furnish")
    ready = "test -e ~/tree/ready"
    eventually(lambda: result_of(gateway, sandbox, ready)["returncode"] == 0, within_s=10)
    writing = in_background(gateway, sandbox, f"cd ~ && exec python3 -c '{_WRITE}'", "write")
    _digest(gateway, sandbox, "tree")  # what was read has other access times, once (relatime)
    before = _digest(gateway, sandbox, "tree")
    assert len(before) == 17
    committed = eventually(lambda: (n := _committed(gateway, writing)) > 100 and n, within_s=20)

    answer = gateway.post(f"/sandboxes/{sandbox}/fork", json={"count": FORKS})

    copies = [one["sandbox_id"] for one in answer.json()]
    try:
        assert len(copies) == FORKS
        assert _committed(gateway, writing) > committed  # it went on
        # Before anything opens the database, which changes its log.
        busy = [_digest(gateway, one, "busy") for one in copies]
        for one in busy:
            assert _difference(one, busy[0]) == {}
        read = [json.loads(_python(gateway, one, _READ)) for one in copies]
        for check, count, last, noted in read:
            assert check == "ok"
            assert count == last >= committed
            assert noted in (last, last - 1)
        assert len({tuple(one) for one in read}) == 1
        for one in copies:
            assert _difference(_digest(gateway, one, "tree"), before) == {}
            assert result_of(gateway, one, "whoami; ls -d ~/tree/gone")["output"] == "user\n"
        assert _difference(_digest(gateway, sandbox, "tree"), before) == {}
        # The file that was deleted and open takes no room in a fork.
        used = "df --output=used -k / | tail -1"
        source_kib = int(result_of(gateway, sandbox, used)["output"])
        assert source_kib - int(result_of(gateway, copies[0], used)["output"]) > 900
    finally:
        for one in copies:
            gateway.delete(f"/sandboxes/{one}")
