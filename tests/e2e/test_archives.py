"""A directory as tar and tar.gz, both ways."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import time
from collections.abc import Callable

import pytest
import requests

from tests.support.eventually import eventually
from tests.support.files import SandboxFiles, code_of
from tests.support.gateway_process import GatewayProcess


@pytest.fixture(scope="module")
def files(shared_gateway: GatewayProcess, module_sandbox: str) -> SandboxFiles:
    return SandboxFiles(shared_gateway, module_sandbox)


Filled = Callable[[tarfile.TarFile], None]


def archive(fill: Filled, form: int = tarfile.GNU_FORMAT) -> bytes:
    """An archive that Python's own module writes."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as tar:
        fill(tar)
    return made.getvalue()


def member(name: str, content: bytes = b"", **fields: object) -> tuple[tarfile.TarInfo, io.BytesIO]:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in fields.items():
        setattr(info, field, value)
    return info, io.BytesIO(content)


def unpack(files: SandboxFiles, path: str, content: object) -> requests.Response:
    address = files.address(path).replace("/files?", "/archive?")
    return files.gateway.request("PUT", address, data=content)


def pack(files: SandboxFiles, path: str, **headers: str) -> requests.Response:
    address = files.address(path).replace("/files?", "/archive?")
    return files.gateway.get(address, headers=headers)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_an_archive_is_unpacked(files: SandboxFiles, form: int) -> None:
    """Of each form that programs write, with directories that it does not name, modes, times,
    links, and what is there already is merged with."""
    long = "/".join(["d" * 60] * (2 if form == tarfile.USTAR_FORMAT else 6))
    large = os.urandom(1_000_000)

    def fill(tar: tarfile.TarFile) -> None:
        tar.addfile(*member("./", type=tarfile.DIRTYPE, mode=0o755))
        tar.addfile(*member("./a.txt", b"new", mode=0o640, mtime=1_600_000_000))
        tar.addfile(*member("sub/deep/b", large, mode=0o755))
        tar.addfile(*member("closed", type=tarfile.DIRTYPE, mode=0o555))
        tar.addfile(*member("closed/in", b"in"))
        tar.addfile(*member("link", type=tarfile.SYMTYPE, linkname="sub/deep"))
        tar.addfile(*member("hard", type=tarfile.LNKTYPE, linkname="sub/deep/b"))
        tar.addfile(*member(f"{long}/f", b"long"))
        tar.addfile(*member("a.txt", b"twice", mode=0o640, mtime=1_600_000_000))

    path = f"unpacked/{form}"
    assert unpack(files, path, archive(fill, form)).status_code == 201
    files.put(f"{path}/sub/mine", b"mine")
    files.put(f"{path}/a.txt", b"old")
    # As for any program: what may not be written to is not, and then nothing is.
    packed = gzip.compress(archive(fill, form))
    assert code_of(unpack(files, path, packed), 403) == "permission_denied"
    assert files.read(f"{path}/a.txt") == b"old"
    files.shell(f"chmod 755 {path}/closed")
    again = unpack(files, path, packed)

    assert again.status_code == 200, again.text
    assert again.json()["type"] == "directory"
    assert files.read(f"{path}/a.txt") == b"twice"
    stat = files.stat(f"{path}/a.txt")
    assert (stat["mode"], stat["modified_at"], stat["owner"]) == ("0640", 1_600_000_000, "user")
    assert files.read(f"{path}/hard") == files.read(f"{path}/sub/deep/b") == large
    assert files.read(f"{path}/sub/mine") == b"mine"
    assert files.read(f"{path}/{long}/f") == b"long"
    assert files.stat(f"{path}/link")["target"] == "sub/deep"
    assert files.stat(f"{path}/closed")["mode"] == "0555"
    assert not any(".sgw" in name for name in files.shell(f"ls -A {path}").split())
    files.shell(f"chmod 755 {path}/closed")


@pytest.mark.parametrize("accept", ["", "application/gzip"])
def test_what_is_packed_can_be_unpacked(files: SandboxFiles, accept: str) -> None:
    """By Python's own module and by tar inside, byte for byte; and put back as it came."""
    long = "n" * 150
    files.shell(
        "rm -rf pack; mkdir -p pack/d/e; cd pack; head -c 3000000 /dev/urandom > d/big; "
        f"echo 1 > d/e/{long}; ln -s /etc/hosts link; ln -s {'t' * 200} far; mkfifo fifo; "
        "touch $'\\xff'; chmod 711 d; : > empty; echo é > é"
    )

    answer = pack(files, "pack", **({"Accept": accept} if accept else {}))

    assert answer.headers["Content-Type"] == (accept or "application/x-tar")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        names = {info.name for info in tar.getmembers()}
        assert tar.extractfile("d/big").read() == files.read("pack/d/big")
        assert tar.getmember("d").mode == 0o711
        assert tar.getmember("far").linkname == "t" * 200
    assert names >= {"d", "d/e", f"d/e/{long}", "link", "far", "empty", "é", "\udcff"}
    assert "fifo" not in names
    assert unpack(files, f"back{bool(accept)}", answer.content).status_code == 201
    files.shell(f"rm pack/fifo; diff -r --no-dereference pack back{bool(accept)}")


@pytest.mark.parametrize(
    "bad",
    [
        lambda tar: tar.addfile(*member("/etc/x", b"1")),
        lambda tar: tar.addfile(*member("../x", b"1")),
        lambda tar: tar.addfile(*member("a/../../x", b"1")),
        lambda tar: tar.addfile(*member("dev", type=tarfile.CHRTYPE)),
        lambda tar: tar.addfile(*member("dev", type=tarfile.BLKTYPE)),
        lambda tar: tar.addfile(*member("fifo", type=tarfile.FIFOTYPE)),
        lambda tar: (
            tar.addfile(*member("l", type=tarfile.SYMTYPE, linkname="/tmp")),
            tar.addfile(*member("l/x", b"1")),
        ),
        lambda tar: (
            tar.addfile(*member("l", type=tarfile.SYMTYPE, linkname="..")),
            tar.addfile(*member("l/../x", b"1")),
        ),
        lambda tar: (
            tar.addfile(*member("l", type=tarfile.SYMTYPE, linkname="/etc/passwd")),
            tar.addfile(*member("h", type=tarfile.LNKTYPE, linkname="l")),
        ),
        lambda tar: tar.addfile(*member("h", type=tarfile.LNKTYPE, linkname="/etc/passwd")),
        lambda tar: tar.addfile(*member("h", type=tarfile.LNKTYPE, linkname="../old")),
        lambda tar: tar.addfile(*member("f/g", b"1")) or tar.addfile(*member("f", b"1")),
        lambda tar: tar.addfile(*member("f", b"1")) or tar.addfile(*member("f/g", b"1")),
    ],
)
def test_a_member_that_leads_elsewhere_refuses_the_whole(files: SandboxFiles, bad: Filled) -> None:
    """Nothing is unpacked, also not of what came before it."""

    def fill(tar: tarfile.TarFile) -> None:
        tar.addfile(*member("before", b"1"))
        bad(tar)

    files.put("kept/old", b"old")

    assert code_of(unpack(files, "kept", archive(fill)), 422) == "bad_archive"
    assert code_of(unpack(files, "kept/new/dir", archive(fill)), 422) == "bad_archive"

    assert files.shell("ls -A kept; ls /tmp/x /etc/x x 2>/dev/null || true") == "old\n"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"no archive" * 1000,
        archive(lambda tar: tar.addfile(*member("f", bytes(100_000))))[:50_000],
        gzip.compress(bytes(2_000_000))[:1000],
        b"\x1f\x8bnot gzip at all",
        b"\xfd7zXZ\x00" + bytes(2000),
        b"BZh9" + bytes(2000),
    ],
)
def test_what_is_no_archive_is_refused(files: SandboxFiles, content: bytes) -> None:
    """Broken, cut, or packed by a program that is not run here."""
    assert code_of(unpack(files, "none", content), 422) == "bad_archive"
    assert files.get("none", "/stat").status_code == 404


def test_what_is_there_decides(files: SandboxFiles) -> None:
    """A file is never replaced by a directory, nor the other way round, and then nothing is."""
    files.put("there/a/file", b"1")
    as_file = archive(lambda t: (t.addfile(*member("0", b"")), t.addfile(*member("a", b"2"))))
    as_directory = archive(lambda tar: tar.addfile(*member("a/file/x", b"2")))

    assert code_of(unpack(files, "there", as_file), 409) == "is_directory"
    assert code_of(unpack(files, "there", as_directory), 409) == "not_directory"
    assert code_of(unpack(files, "there/a/file", as_file), 409) == "not_directory"
    assert code_of(pack(files, "there/a/file"), 409) == "not_directory"
    assert code_of(pack(files, "there/b"), 404) == "path_not_found"
    assert code_of(unpack(files, "/usr/new", as_file), 403) == "permission_denied"
    assert files.names("there", depth=3) == ["/home/user/there/a", "/home/user/there/a/file"]


def test_limits_of_bytes_and_entries(own_gateway: Callable[..., GatewayProcess]) -> None:
    """Bombs of both kinds end with 413, in bounded time, and leave nothing."""
    gateway = own_gateway(workers="1", archive_mb="20", archive_entries="1000").start_ready()
    files = SandboxFiles(gateway, gateway.create())
    began = time.monotonic()

    bomb = gzip.compress(archive(lambda tar: tar.addfile(*member("b", bytes(30_000_000)))))
    info, _ = member("sparse")
    info.size = 2**40
    many = archive(lambda tar: [tar.addfile(*member(str(n))) for n in range(2000)])

    for content in (bomb, info.tobuf() + bytes(100_000), many, gzip.compress(many)):
        assert code_of(unpack(files, "bomb", content), 413) == "too_large"
    assert time.monotonic() - began < 10
    assert files.get("bomb", "/stat").status_code == 404


def test_a_full_disk_leaves_all_as_it_was(files: SandboxFiles) -> None:
    """507, and what was unpacked until then is away."""
    files.put("/dev/shm/unpack/old", b"old")
    content = archive(
        lambda tar: [tar.addfile(*member(f"f{n}", bytes(1_000_000))) for n in range(200)]
    )

    assert code_of(unpack(files, "/dev/shm/unpack", content), 507) == "no_space"
    assert files.shell("ls -A /dev/shm/unpack") == "old\n"
    files.delete("/dev/shm/unpack", recursive="true")


def test_an_archive_whose_client_leaves_is_not_unpacked(files: SandboxFiles) -> None:
    """Nor one whose process in the sandbox is killed."""
    content = archive(
        lambda tar: [tar.addfile(*member(f"f{n}", bytes(100_000))) for n in range(30)]
    )
    files.post("mkdir", path="left")

    def cut():
        yield content[:1_000_000]
        files.shell("pkill -KILL sbxgwf")
        yield content[1_000_000:]

    assert code_of(unpack(files, "left", cut()), 502) == "link_lost"
    eventually(lambda: files.shell("ls -A left") == "", within_s=10)
