"""E2B's `/files` on the wire: content both ways, metadata, codings, signatures."""

from __future__ import annotations

import gzip
import hashlib
import io
import socket
import time
from collections.abc import Iterator

import pytest
import requests

from tests.support.e2b_envd import Envd
from tests.support.files import SandboxFiles
from tests.support.gateway_process import GatewayProcess

HOME = "/home/user"


@pytest.fixture(scope="module")
def envd(shared_gateway: GatewayProcess, module_sandbox: str) -> Envd:
    return Envd(shared_gateway, module_sandbox)


@pytest.fixture(scope="module")
def inside(shared_gateway: GatewayProcess, module_sandbox: str) -> SandboxFiles:
    return SandboxFiles(shared_gateway, module_sandbox)


def refusal(answer: requests.Response) -> tuple[int, str]:
    """Status and message, which must be in E2B's form."""
    said = answer.json()
    assert said["code"] == answer.status_code, said
    return answer.status_code, said["message"]


# --- reading -------------------------------------------------------------------------------------


def test_content_comes_as_it_is(envd: Envd, inside: SandboxFiles) -> None:
    """Whole, in part, and of files that say no size."""
    envd.put("read/f", bytes(range(256)))
    whole = envd.get("~/read/f")
    part = envd.get("read/f", headers={"Range": "bytes=10-19"})

    assert (whole.status_code, whole.content) == (200, bytes(range(256)))
    assert whole.headers["Content-Length"] == "256"
    assert (part.status_code, part.content) == (206, bytes(range(10, 20)))
    assert part.headers["Content-Range"] == "bytes 10-19/256"
    beyond = envd.get("read/f", headers={"Range": "bytes=256-"})
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, "bytes */256")
    assert envd.get("/proc/version").text.startswith("Linux")
    envd.put("read/empty", b"")
    assert (envd.get("read/empty").status_code, envd.get("read/empty").content) == (200, b"")


def test_what_cannot_be_read_is_refused(envd: Envd, inside: SandboxFiles) -> None:
    """With the words and statuses that clients make exceptions of, and at once."""
    inside.shell("mkdir -p odd/dir; mkfifo odd/fifo; touch odd/file; ln -sf loop odd/loop")

    assert refusal(envd.get("odd/none")) == (404, "path 'odd/none' does not exist")
    assert refusal(envd.get("odd/file/below"))[0] == 404
    for path in ("odd/dir", "odd/fifo", "odd/loop", "", "a\0b", "x" * 5000):
        assert refusal(envd.get(path))[0] == 400
    assert refusal(envd.get("/etc/shadow"))[0] == 403
    assert refusal(envd.get("odd/file", query={"username": "nobody"}))[0] == 401
    assert envd.get("odd/file", query={"username": "user"}).status_code == 200


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", None),
        ("identity", None),
        ("br", None),
        ("*", None),
        ("gzip, identity;q=0", "gzip"),
        ("gzip;q=0.5, *;q=0", "gzip"),
        ("*;q=0", 406),
        ("identity;q=0", 406),
        ("br, identity;q=0", 406),
        ("gzip;q=0, identity;q=0", 406),
    ],
)
def test_codings_are_those_that_the_client_takes(
    envd: Envd, accepted: str, coding: str | int | None
) -> None:
    """Identity wherever it is taken."""
    envd.put("coded", b"abc" * 1000)
    answer = envd.get("coded", headers={"Accept-Encoding": accepted})

    if coding == 406:
        assert refusal(answer)[0] == 406
        return
    assert (answer.status_code, answer.headers.get("Content-Encoding")) == (200, coding)
    assert answer.content == b"abc" * 1000


def test_large_files_pass_with_little_memory(envd: Envd, inside: SandboxFiles) -> None:
    """100 MB each way, with a length, in chunks, and as gzip that is unpacked on the way."""
    piece = bytes(range(256)) * 4096
    whole = hashlib.sha256(piece * 100).hexdigest()
    before = envd.gateway.memory()

    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield piece

    assert envd.put("large", pieces())["path"] == f"{HOME}/large"
    assert inside.shell("sha256sum large")[:64] == whole
    packed = b"".join(gzip.compress(piece, 1) for _ in range(100))
    envd.put("large", packed, **{"Content-Encoding": "gzip"})
    assert inside.shell("sha256sum large")[:64] == whole
    got = hashlib.sha256()
    with envd.get("large", stream=True) as answer:
        for some in answer.iter_content(1 << 20):
            got.update(some)
    assert got.hexdigest() == whole
    inside.shell("rm large")
    assert envd.gateway.memory() - before < 60e6


# --- writing -------------------------------------------------------------------------------------


def test_one_file_is_written_in_each_form(envd: Envd, inside: SandboxFiles) -> None:
    """And described as clients read it; directories are made, and all is the user's."""
    said = {"path": f"{HOME}/up/a/f", "name": "f", "type": "file"}
    assert envd.put("up/a/f", b"1") == said
    assert inside.shell("stat -c %U:%a up up/a up/a/f").split() == [
        *("user:755", "user:755", "user:644")
    ]
    assert envd.put("up/a/f", iter([b"chu", b"nks"])) == said
    assert inside.read("up/a/f") == b"chunks"
    assert envd.put("up/a/f", gzip.compress(b"packed"), **{"Content-Encoding": "gzip"}) == said
    assert inside.read("up/a/f") == b"packed"
    answer = envd.post("up/a/f", files={"file": ("ignored/name", b"form")})
    assert answer.json() == [said]
    assert inside.read("up/a/f") == b"form"
    inside.shell("chmod 600 up/a/f")
    assert envd.put("up/a/f", b"") == said
    assert inside.shell("stat -c %a:%s up/a/f").split() == ["600:0"]


def test_several_files_have_their_paths_in_their_names(envd: Envd, inside: SandboxFiles) -> None:
    """Small and large, relative and absolute, with all that a name may have."""
    large = bytes(300_000)
    names = ["many/a", f"{HOME}/many/b", "~/many/c", 'many/quo"te', "many/è 文", "many/back\\slash"]
    named = [name.replace("\\", "\\\\").replace('"', "%22") for name in names]
    body = [("file", (name, large if name.endswith("b") else name.encode())) for name in named]
    answer = envd.gateway.post(
        "/files",
        data=_form([(name, content) for _, (name, content) in body]),
        headers={**envd.headers, "Content-Type": "multipart/form-data; boundary=b"},
    )

    assert answer.status_code == 200, answer.text
    paths = [f"{HOME}/{name.removeprefix('~/').removeprefix(HOME + '/')}" for name in names]
    assert [one["path"] for one in answer.json()] == paths
    for path, (_, (_, content)) in zip(paths, body, strict=True):
        assert inside.read(path) == content


def _form(files: list[tuple[str, bytes]], field: str = "file") -> bytes:
    body = io.BytesIO()
    for name, content in files:
        head = f'--b\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n\r\n'
        body.write(head.encode() + content + b"\r\n")
    body.write(b"--b--\r\n")
    return body.getvalue()


@pytest.mark.parametrize(
    ("path", "content_type", "body", "status"),
    [
        (None, "application/octet-stream", b"x", 400),
        ("odd/dir", "application/octet-stream", b"x", 400),
        ("odd/fifo", "application/octet-stream", b"x", 400),
        ("odd/file/below", "application/octet-stream", b"x", 400),
        ("/usr/bin/new", "application/octet-stream", b"x", 403),
        ("/etc/passwd", "application/octet-stream", b"x", 403),
        ("a", "text/plain", b"x", 400),
        ("a", "multipart/form-data", b"x", 400),
        ("a", "multipart/form-data; boundary=b", b"x", 400),
        ("a", "multipart/form-data; boundary=b", b"--b\r\nno head\r\n\r\n", 400),
        ("a", "multipart/form-data; boundary=b", b"--b--\r\n", 400),
        ("a", "multipart/form-data; boundary=b", _form([("x", b"1"), ("y", b"2")]), 400),
        (None, "multipart/form-data; boundary=b", _form([("", b"1")]), 400),
        (None, "multipart/form-data; boundary=b", _form([("f", b"1")], field="other"), 400),
        (None, "multipart/form-data; boundary=b", _form([("odd/dir", b"1")]), 400),
    ],
)
def test_a_bad_upload_is_refused(
    envd: Envd, inside: SandboxFiles, path: str | None, content_type: str, body: bytes, status: int
) -> None:
    """In E2B's form; nothing hangs, and nothing is a fault of ours."""
    inside.shell("mkdir -p odd/dir; [ -p odd/fifo ] || mkfifo odd/fifo; touch odd/file")
    answer = envd.post(path, body, headers={"Content-Type": content_type}, timeout=20)

    assert refusal(answer)[0] == status


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        ("gzip", b"no gzip", 400),
        ("gzip", gzip.compress(b"abc")[:-2], 400),
        ("gzip", b"", 400),
        ("br", b"x", 400),
    ],
)
def test_a_bad_coding_is_refused(envd: Envd, coding: str, body: bytes, status: int) -> None:
    answer = envd.post("coding", body, headers={"Content-Encoding": coding})

    assert refusal(answer)[0] == status


def test_a_full_disk_has_a_status_of_its_own(envd: Envd, inside: SandboxFiles) -> None:
    """Also by a small body that unpacks to much: its bound is the sandbox's own space."""
    bomb = gzip.compress(bytes(200_000_000), 1)
    answer = envd.post("/dev/shm/full", bomb, headers={"Content-Encoding": "gzip"})

    assert refusal(answer)[0] == 507
    inside.shell("rm /dev/shm/full")
    assert envd.put("/dev/shm/fits", b"1")["name"] == "fits"


def test_an_upload_that_breaks_off_leaves_a_part(envd: Envd, inside: SandboxFiles) -> None:
    """It is written in place, as these clients expect, and the gateway goes on."""
    client = socket.create_connection(("localhost", envd.gateway.port), timeout=20)
    head = f"POST /files?path=part HTTP/1.1\r\nHost: localhost:{envd.gateway.port}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in envd.headers.items())
    head += "Content-Type: application/octet-stream\r\nContent-Length: 1000000\r\n\r\n"
    with client:
        client.sendall(head.encode() + b"x" * 200_000)

    assert envd.put("next", b"1")["name"] == "next"


# --- metadata ------------------------------------------------------------------------------------


def test_metadata_are_attributes_of_the_file(envd: Envd, inside: SandboxFiles) -> None:
    """Set by headers, whatever the key is written with, shown everywhere, replaced as a whole."""
    headers = {"X-Metadata-Author": "Me, myself", "x-metadata-my_key-2": "~", "X-Metadata-e.x!": ""}
    wanted = {"author": "Me, myself", "my_key-2": "~", "e.x!": ""}
    assert envd.put("meta/f", b"1", **headers)["metadata"] == wanted
    assert envd.said("Stat", path="meta/f")["entry"]["metadata"] == wanted
    [listed] = envd.said("ListDir", path="meta")["entries"]
    moved = envd.said("Move", source="meta/f", destination="meta/g")["entry"]
    assert listed["metadata"] == moved["metadata"] == wanted

    inside.shell('python3 -c \'import os; os.setxattr("meta/g", "user.e2b.hand", b"made")\'')
    assert envd.said("Stat", path="meta/g")["entry"]["metadata"] == {**wanted, "hand": "made"}
    assert envd.put("meta/g", b"2", **{"X-Metadata-new": "1"})["metadata"] == {"new": "1"}
    assert "metadata" not in envd.put("meta/g", b"3")
    assert "metadata" not in envd.said("Stat", path="meta/g")["entry"]
    two = envd.post(
        None,
        files=[("file", ("meta/1", b"1")), ("file", ("meta/2", b"2"))],
        headers={"X-Metadata-both": "yes"},
    )
    assert [one["metadata"] for one in two.json()] == [{"both": "yes"}] * 2


@pytest.mark.parametrize(
    "headers",
    [
        {"X-Metadata-" + "k" * 247: "v"},
        {"X-Metadata-": "v"},
        {"X-Metadata-key": "v" * 4094},
        {"X-Metadata-key": "è".encode().decode("latin-1")},
        {f"X-Metadata-k_{number}": "v" * 200 for number in range(25)},
    ],
)
def test_metadata_beyond_the_bounds_are_refused(envd: Envd, headers: dict[str, str]) -> None:
    """Before anything is written."""
    assert refusal(envd.post("meta/refused", b"1", headers=headers))[0] == 400
    assert envd.get("meta/refused").status_code == 404


# --- signatures ----------------------------------------------------------------------------------


def test_a_signature_stands_for_the_token(envd: Envd, inside: SandboxFiles) -> None:
    """For the sandbox whose token made it, wherever the request says nothing else of it."""
    gateway, soon = envd.gateway, int(time.time()) + 60
    posted = gateway.post(envd.signed("si gn+ed/è", "write", soon), files={"file": ("x", b"1")})
    assert posted.json()[0]["path"] == f"{HOME}/si gn+ed/è"
    for address in (
        envd.signed("si gn+ed/è", "read"),
        envd.signed("si gn+ed/è", "read", soon),
        envd.signed("si gn+ed/è", "read", username="user"),
    ):
        answer = gateway.get(address, headers={"Origin": "https://elsewhere.example"})
        assert (answer.status_code, answer.content) == (200, b"1")
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        host = {"Host": f"49983-{envd.sandbox_id}.localhost:{gateway.port}"}
        assert gateway.get(address, headers=host).content == b"1"


def test_other_signatures_open_nothing(envd: Envd) -> None:
    """Another path, operation, user or end; and one that is late is told so in these words."""
    gateway, now = envd.gateway, int(time.time())
    envd.put("secret", b"1")
    late = gateway.get(envd.signed("secret", "read", now - 5))
    assert refusal(late) == (401, "signature is already expired")
    good = envd.signed("secret", "read", now + 60)
    for address in (
        good.replace("path=secret", "path=other"),
        good.replace(str(now + 60), str(now + 61)),
        good.replace(f"signature_expiration={now + 60}&", ""),
        good + "&username=user",
        good.replace("v1_", "v2_"),
        good.replace(str(now + 60), "never"),
        good.replace(str(now + 60), "9" * 40),
        envd.signed("secret", "write"),
        "/files?path=secret&signature=",
        "/files?signature=%ff%00",
    ):
        assert refusal(gateway.get(address))[0] == 401
    assert refusal(gateway.post(good, data=b"x"))[0] == 401


def test_pages_of_other_sites_may_use_signed_addresses(envd: Envd) -> None:
    """A preflight has neither header nor token."""
    answer = envd.gateway.request(
        "OPTIONS",
        envd.signed("page", "write"),
        headers={"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"},
    )

    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]


def test_a_paused_sandbox_is_not_found_by_its_files(envd: Envd) -> None:
    """By its token and by a signature: neither wakes one that was not made to be woken."""
    gateway, base = envd.gateway, f"/sandboxes/{envd.sandbox_id}"
    address = envd.signed("secret", "read")
    assert gateway.post(f"{base}/pause").status_code == 200
    try:
        for answer in (envd.get("secret"), gateway.get(address), envd.call("Stat", {"path": "/"})):
            assert answer.status_code == 502
            assert answer.json()["message"] == "The sandbox was not found"
        assert gateway.status_of(envd.sandbox_id) == "paused"
    finally:
        assert gateway.post(f"{base}/resume").status_code == 200
    assert gateway.get(address).status_code == 200
