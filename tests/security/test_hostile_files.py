"""Files that a sandbox has prepared against whoever asks for them."""

from __future__ import annotations

import gzip
import io
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.support.eventually import eventually
from tests.support.files import SandboxFiles, code_of
from tests.support.gateway_process import GatewayProcess
from tests.support.rest_commands import in_background

AT_ONCE_S = 5.0

SWAPPER = """
import os
os.chdir("race")
while True:
    os.rename("d", "away"); os.symlink("%s", "d"); os.unlink("d"); os.rename("away", "d")
"""
"""Swaps a directory for a link, as fast as can be."""


@pytest.fixture(scope="module")
def files(shared_gateway: GatewayProcess, module_sandbox: str) -> SandboxFiles:
    return SandboxFiles(shared_gateway, module_sandbox)


def archive(files: SandboxFiles, path: str, content: bytes | None = None) -> requests.Response:
    """Pack a directory or, with `content`, unpack there."""
    address = files.address(path).replace("/files?", "/archive?")
    if content is None:
        return files.gateway.get(address, headers={"Accept": "application/gzip"})
    return files.gateway.request("PUT", address, data=content)


@pytest.mark.parametrize("path", ["../../../../../etc/hostname", "/proc/self/root/etc/hostname"])
def test_no_path_leaves_the_sandbox(files: SandboxFiles, path: str) -> None:
    """`..` above the root is the root, and that of the sandbox."""
    assert files.read(path).decode() == files.shell("cat /etc/hostname")
    assert files.read(path) != Path("/etc/hostname").read_bytes()


@pytest.mark.parametrize("secret", ["/etc/shadow", "/proc/1/root/etc/shadow", "/proc/1/environ"])
def test_links_open_nothing(files: SandboxFiles, secret: str) -> None:
    """Whatever leads there is followed as the user, who may not read it, nor write to it."""
    files.shell(f"mkdir -p links; ln -sfn {secret} links/to; ln -sfn $(dirname {secret}) links/up")
    through = f"links/up/{secret.rpartition('/')[2]}"

    for path in ("links/to", through):
        for answer in (files.get(path), files.put(path, b"1"), files.put(path, bytes(100_000))):
            assert code_of(answer, 403) == "permission_denied"
        taken = {"from": path, "to": "links/copy", "overwrite": True}
        if path == through:
            assert code_of(files.post("copy", **taken), 403) == "permission_denied"
    packed = archive(files, "links")
    with tarfile.open(fileobj=io.BytesIO(packed.content)) as tar:
        assert {info.type for info in tar.getmembers()} == {tarfile.SYMTYPE}
    assert files.get("links/copy", "/stat").status_code == 404


def test_hard_links_keep_what_they_are(files: SandboxFiles) -> None:
    """Of a file with two names one is replaced: the other one is not written through. And none can
    be made to another user's file."""
    files.shell("mkdir -p hard; echo old > hard/a; ln -f hard/a hard/b")

    assert files.put("hard/a", b"new").status_code == 200
    assert files.read("hard/b") == b"old\n"
    assert files.shell("ln /etc/passwd hard/c 2>&1 || echo refused").endswith("refused\n")


@pytest.mark.parametrize(
    "device", ["/dev/null", "/dev/zero", "/dev/full", "/dev/pts/ptmx", "/dev/tty"]
)
def test_devices_are_no_files(files: SandboxFiles, device: str) -> None:
    """At once: /dev/zero has no end, and /dev/ptmx makes a terminal when it is opened."""
    began = time.monotonic()

    for answer in (files.get(device), files.put(device, b"1"), files.put(device, bytes(100_000))):
        assert code_of(answer, 409) == "not_a_file"
    taken = {"from": device, "to": f"device-{device.rpartition('/')[2]}"}
    assert code_of(files.post("copy", **taken), 409) == "not_a_file"
    assert time.monotonic() - began < AT_ONCE_S


def test_nothing_becomes_setuid(files: SandboxFiles) -> None:
    """Whichever way it comes; a program that is root's is none for the user to make."""
    assert code_of(files.put("suid", b"1", query={"mode": "4755"}), 422) == "invalid_fields"
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        info = tarfile.TarInfo("program")
        info.mode = 0o6755
        tar.addfile(info)
        directory = tarfile.TarInfo("directory")
        directory.type, directory.mode = tarfile.DIRTYPE, 0o2755
        tar.addfile(directory)
    assert archive(files, "suid-archive", made.getvalue()).status_code == 201
    files.shell("cp /bin/true suid-own; chmod 6755 suid-own")
    assert files.post("copy", **{"from": "suid-own", "to": "suid-copy"}).status_code == 200
    assert files.put("suid-own", b"1").status_code == 200

    for path in ("suid-archive/program", "suid-archive/directory", "suid-copy", "suid-own"):
        assert files.stat(path)["mode"] == "0755", path


def test_a_sparse_file_costs_nothing(files: SandboxFiles) -> None:
    """Of any size that a sandbox may give one (a terabyte is beyond its limit): what is said of it
    is told at once, a part is read, and a copy ends where the disk does, and leaves nothing."""
    assert "153" in files.shell("(truncate -s 1T terabyte); echo $?; rm terabyte")
    size = 4 * 2**30
    files.shell(f"mkdir -p /dev/shm/sparse; truncate -s {size} /dev/shm/sparse/file")
    began = time.monotonic()

    assert files.stat("/dev/shm/sparse/file")["size"] == size
    head = files.gateway.request("HEAD", files.address("/dev/shm/sparse/file"))
    assert int(head.headers["Content-Length"]) == size
    part = files.get("/dev/shm/sparse/file", headers={"Range": f"bytes={size - 5}-"})
    assert (part.status_code, part.content) == (206, bytes(5))
    with files.get("/dev/shm/sparse/file", stream=True) as answer:
        assert len(answer.raw.read(10_000_000)) == 10_000_000
    taken = {"from": "/dev/shm/sparse/file", "to": "/dev/shm/sparse/copy"}
    assert code_of(files.post("copy", **taken), 507) == "no_space"

    assert time.monotonic() - began < 20
    assert files.shell("ls -A /dev/shm/sparse") == "file\n"
    assert files.delete("/dev/shm/sparse", recursive="true").status_code == 204


@pytest.mark.parametrize("kind", ["GNU", "pax"])
def test_a_sparse_member_is_refused(files: SandboxFiles, kind: str) -> None:
    """A few bytes that say they are a terabyte."""
    info = tarfile.TarInfo("sparse")
    if kind == "GNU":
        info.type = tarfile.GNUTYPE_SPARSE
        content = info.tobuf(tarfile.GNU_FORMAT)
    else:
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": str(2**40)}
        content = info.tobuf(tarfile.PAX_FORMAT)

    assert code_of(archive(files, "sparse", content + bytes(1024)), 422) == "bad_archive"
    assert files.get("sparse", "/stat").status_code == 404


def test_no_program_and_no_module_of_the_sandbox_is_run(
    own_gateway: Callable[..., GatewayProcess],
) -> None:
    """Planted where programs and modules are looked for first, before the gateway asks for
    anything: to pack and unpack takes none of them."""
    gateway = own_gateway(workers="1").start_ready()
    files = SandboxFiles(gateway, gateway.create())
    names = ("xz", "tar", "gzip", "gunzip", "bzip2", "cp", "mv", "rm", "sh", "python3")
    modules = ("zlib", "gzip", "tarfile", "ctypes", "base64", "json", "struct", "stat", "types")
    plant = (
        "mkdir -p bin .local/bin .local/lib/python3.11/site-packages; "
        "printf '#!/bin/bash\\necho ran >> /tmp/ran\\n' > bin/xz; chmod +x bin/xz; "
        f"for n in {' '.join(names)}; do cp bin/xz .local/bin/$n; cp bin/xz $n; "
        "[ $n = xz ] || cp bin/xz bin/$n; done; "
        f"for m in {' '.join(modules)}; do for d in . .local/lib/python3.11/site-packages /tmp; "
        'do echo \'open("/tmp/ran", "a")\' > $d/$m.py; done; done; '
        "echo 'export PATH=$HOME/bin:$HOME/.local/bin:$PATH PYTHONPATH=$HOME' >> .profile; "
        "cp .profile .bashrc; cp .profile .bash_profile"
    )
    files.shell(plant)

    packed = archive(files, "bin")
    assert packed.status_code == 200
    assert archive(files, "unpacked", packed.content).status_code == 201
    for magic in (b"\xfd7zXZ\x00", b"BZh9", b"\x28\xb5\x2f\xfd"):
        assert code_of(archive(files, "other", magic + bytes(2000)), 422) == "bad_archive"
    assert archive(files, "again", gzip.compress(gzip.decompress(packed.content))).ok
    assert files.post("copy", **{"from": "bin", "to": "bin2"}).status_code == 200
    assert files.delete("bin2", recursive="true").status_code == 204

    assert files.read("unpacked/xz").startswith(b"#!/bin/bash")
    assert files.shell("cat /tmp/ran 2>/dev/null || true") == ""


def test_what_is_swapped_for_a_link_meanwhile_leads_nowhere(files: SandboxFiles) -> None:
    """A directory that becomes a link to another one while it is packed, copied or deleted: what
    is in the other one is neither told nor touched."""
    files.shell("rm -rf race precious; mkdir precious; cd precious; seq 20 | xargs touch")
    swapper = in_background(
        files.gateway,
        files.sandbox_id,
        "mkdir -p race/d; seq 100 200 | sed s,^,race/d/, | xargs touch; "
        f"python3 -c '{SWAPPER % '../precious'}'",
        "swapper",
    )
    outcomes, told = set(), set()
    eventually(lambda: files.get("race/d/200", "/stat").status_code == 200)
    try:
        for _ in range(12):
            packed = archive(files, "race")
            assert packed.status_code == 200
            with tarfile.open(fileobj=io.BytesIO(packed.content)) as tar:
                told |= {info.name for info in tar.getmembers()}
            outcomes.add(files.post("copy", **{"from": "race", "to": "raced"}).status_code)
            if files.get("raced/d", "/stat").status_code == 200:
                listed = files.get("raced", "/list", query={"depth": 2}).json()
                told |= {entry["path"].removeprefix("/home/user/raced/") for entry in listed}
            files.delete("raced", recursive="true")
        outcomes |= {files.delete("race", recursive="true").status_code for _ in range(5)}
    finally:
        files.gateway.post(f"{swapper}/signal", json={"signal": "KILL"})

    assert outcomes <= {200, 204, 404, 409, 403}
    assert not {f"d/{n}" for n in range(1, 21)} & told
    assert any(name.startswith("d/1") for name in told)
    assert len(files.names("precious")) == 20
    files.delete("race", recursive="true")


def test_a_file_that_is_swapped_for_a_link_is_one_of_both(files: SandboxFiles) -> None:
    """Never the bytes of one with the size of the other, and never what the user may not read."""
    files.shell("mkdir -p swap; head -c 100000 /dev/zero | tr '\\0' a > swap/a; echo b > swap/b")
    code = (
        'import os\nos.chdir("swap")\nn = 0\nwhile True:\n'
        '    for t in ("a", "b", "/etc/shadow", "f"):\n'
        '        os.symlink(t, "new"); os.rename("new", "x")\n'
    )
    swapper = in_background(
        files.gateway, files.sandbox_id, f"mkfifo swap/f; python3 -c '{code}'", "file-swapper"
    )
    seen = set()
    began = time.monotonic()
    try:
        while len(seen) < 4 and time.monotonic() - began < 20:
            answer = files.get("swap/x")
            if answer.status_code == 200:
                assert answer.content in (b"a" * 100_000, b"b\n")
                seen.add(answer.content[:1])
            elif answer.status_code != 404:
                assert answer.status_code in (403, 409)
                seen.add(answer.json()["code"])
    finally:
        files.gateway.post(f"{swapper}/signal", json={"signal": "KILL"})

    assert seen <= {b"a", b"b", "permission_denied", "not_a_file"}
    assert {b"a", b"b"} & seen


def test_two_may_delete_the_same(files: SandboxFiles) -> None:
    """A build that clears its directory, and a client: nobody's error, and nothing is left."""
    make = "mkdir -p both/{1..9}/{1..9}; for d in both/*/*; do touch $d/{1..30}; done"
    for _ in range(2):
        files.shell(make)
        with ThreadPoolExecutor(1) as pool:
            inside = pool.submit(files.shell, "rm -rf both")
            status = files.delete("both", recursive="true").status_code
            inside.result()
        assert status in (204, 404)  # 404: the other one was done before this one began
        assert files.get("both", "/stat").status_code == 404
