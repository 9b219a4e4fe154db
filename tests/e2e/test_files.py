"""Files of a sandbox: read, written, looked at, listed and moved, as the contract says."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime

import pytest

from tests.support.eventually import eventually
from tests.support.files import SandboxFiles, code_of
from tests.support.gateway_process import GatewayProcess

HOME = "/home/user"


@pytest.fixture(scope="module")
def files(shared_gateway: GatewayProcess, module_sandbox: str) -> SandboxFiles:
    return SandboxFiles(shared_gateway, module_sandbox)


@pytest.mark.parametrize("size", [0, 1, 1000, 65536, 65537, 300_001, 5_000_000])
def test_what_is_written_is_read(files: SandboxFiles, size: int) -> None:
    """Every byte, whichever way it takes: along with the question, or streamed."""
    content = os.urandom(size)

    new = files.put(f"round/{size}.bin", content)
    again = files.put(f"round/{size}.bin", content)

    assert (new.status_code, again.status_code) == (201, 200)
    answer = files.get(f"round/{size}.bin")
    assert answer.content == content
    assert answer.headers["Content-Length"] == str(size)
    seen = files.shell(f"sha256sum < round/{size}.bin").split()[0]
    assert seen == hashlib.sha256(content).hexdigest()


def test_a_chunked_body_is_written_whole(files: SandboxFiles) -> None:
    """Clients that do not know the length yet send chunks."""
    pieces = [os.urandom(70_000), b"", b"x", os.urandom(100_000)]

    answer = files.put("chunked", iter([piece for piece in pieces if piece]))

    assert answer.status_code == 201
    assert files.read("chunked") == b"".join(pieces)


def test_the_answer_says_what_http_needs(files: SandboxFiles) -> None:
    """Headers that make it a download which nobody's browser runs."""
    stat = files.put("page.html", b"<script>alert(1)</script>").json()

    answer = files.get("page.html")

    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "page.html" in answer.headers["Content-Disposition"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Content-Security-Policy"] == "sandbox"
    assert answer.headers["ETag"] == stat["etag"] == files.stat("page.html")["etag"]
    assert answer.headers["Accept-Ranges"] == "bytes"
    modified = parsedate_to_datetime(answer.headers["Last-Modified"]).timestamp()
    assert int(stat["modified_at"]) == int(modified)
    head = files.gateway.request("HEAD", files.address("page.html"))
    assert (head.status_code, head.content) == (200, b"")
    for name in ("ETag", "Content-Length", "Last-Modified", "Content-Disposition"):
        assert head.headers[name] == answer.headers[name]


def test_a_stat_has_the_fields_of_the_contract(files: SandboxFiles) -> None:
    """Of a file, a directory, a link and something else."""
    files.put("kinds/file", b"12345", query={"mode": "0640"})
    files.shell("cd kinds; mkdir -p dir; ln -sfn file link; rm -f fifo; mkfifo fifo")

    file = files.stat("kinds/file")

    assert file.pop("modified_at") > 1_700_000_000
    assert re.fullmatch(r'"[^"]+"', file.pop("etag"))
    assert file == {
        "path": f"{HOME}/kinds/file",
        "name": "file",
        "type": "file",
        "size": 5,
        "mode": "0640",
        "owner": "user",
        "group": "user",
    }
    link = files.stat("kinds/link")
    assert (link["type"], link["target"]) == ("symlink", "file")
    assert "etag" not in link
    assert files.stat("kinds/dir")["type"] == "directory"
    assert files.stat("kinds/fifo")["type"] == "other"


@pytest.mark.parametrize(
    ("asked", "status", "start", "end"),
    [
        ("bytes=0-99", 206, 0, 100),
        ("bytes=100-", 206, 100, 200_000),
        ("bytes=-100", 206, 199_900, 200_000),
        ("bytes=199999-", 206, 199_999, 200_000),
        ("bytes=0-500000", 206, 0, 200_000),
        ("bytes=-500000", 206, 0, 200_000),
        ("bytes=0-1,5-6", 200, 0, 200_000),
        ("lines=1-2", 200, 0, 200_000),
        ("bytes=x", 200, 0, 200_000),
    ],
)
def test_a_part_of_a_file(
    files: SandboxFiles, asked: str, status: int, start: int, end: int
) -> None:
    """`Range` as RFC 9110 has it; what is no single part of bytes gets the whole."""
    content = hashlib.sha512(b"parts").digest() * 3125
    if files.get("parts", "/stat").status_code == 404:
        files.put("parts", content)

    answer = files.get("parts", headers={"Range": asked})

    assert answer.content == content[start:end]
    assert answer.headers["Content-Length"] == str(end - start)
    if end - start < len(content):
        assert answer.status_code == status
        assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/200000"


def test_a_part_that_is_not_there_is_416(files: SandboxFiles) -> None:
    """With the size, so that the client can ask again."""
    files.put("short", b"123")

    answer = files.get("short", headers={"Range": "bytes=3-"})

    assert code_of(answer, 416) == "bad_range"
    assert answer.headers["Content-Range"] == "bytes */3"


def test_conditions_on_reading(files: SandboxFiles) -> None:
    """Who has it gets 304, and a part of another version is the whole of the new one."""
    tag = files.put("cond", b"0123456789").json()["etag"]

    same = files.get("cond", headers={"If-None-Match": f'"other", {tag}'})
    assert (same.status_code, same.content) == (304, b"")
    assert same.headers["ETag"] == tag
    assert files.get("cond", headers={"If-None-Match": '"other"'}).status_code == 200
    since = files.get("cond").headers["Last-Modified"]
    assert files.get("cond", headers={"If-Modified-Since": since}).status_code == 304
    part = {"Range": "bytes=0-0"}
    assert files.get("cond", headers={**part, "If-Range": tag}).content == b"0"
    assert files.get("cond", headers={**part, "If-Range": '"o"'}).content == b"0123456789"
    assert code_of(files.get("cond", headers={"If-Match": '"other"'}), 412) == "changed"


def test_conditions_on_writing(files: SandboxFiles) -> None:
    """412 in the place of a lost update, and what was there stays."""
    assert code_of(files.put("once", b"x", headers={"If-Match": "*"}), 412) == "changed"
    first = files.put("once", b"1", headers={"If-None-Match": "*"})
    assert first.status_code == 201
    assert code_of(files.put("once", b"2", headers={"If-None-Match": "*"}), 412) == "changed"
    tag = first.json()["etag"]
    second = files.put("once", b"2", headers={"If-Match": tag})
    assert second.status_code == 200
    assert code_of(files.put("once", b"3" * 70_000, headers={"If-Match": tag}), 412) == "changed"
    assert files.read("once") == b"2"


def test_of_a_hundred_writers_one_wins(files: SandboxFiles) -> None:
    """All know the same version, over both workers: 99 of them learn that they do not any more."""
    tag = files.put("race", b"start").json()["etag"]

    def write(number: int) -> int:
        return files.put("race", f"{number}", headers={"If-Match": tag}).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(write, range(100)))

    assert sorted(set(statuses)) == [200, 412]
    assert statuses.count(200) == 1
    assert files.read("race") == str(statuses.index(200)).encode()


def test_replacing_keeps_owner_and_mode(files: SandboxFiles) -> None:
    """And a new file is 0644, unless it is said otherwise."""
    assert files.put("modes/a", b"1").json()["mode"] == "0644"
    assert files.put("modes/b", b"1", query={"mode": "0700"}).json()["mode"] == "0700"
    assert files.put("modes/b", b"2").json()["mode"] == "0700"
    assert files.put("modes/b", b"2", query={"mode": "600"}).json()["mode"] == "0600"
    assert code_of(files.put("modes/b", b"2", query={"mode": "9"}), 422) == "invalid_fields"


def test_writing_follows_links(files: SandboxFiles) -> None:
    """The link stays one, and what it leads to is replaced or made."""
    files.put("links/real", b"old")
    files.shell("cd links; ln -sfn real there; ln -sfn made/below missing")

    assert files.put("links/there", b"new").status_code == 200
    assert files.put("links/missing", b"made").status_code == 201

    assert files.read("links/real") == b"new"
    assert files.read("links/made/below") == b"made"
    assert files.stat("links/there")["type"] == "symlink"


def test_deleting(files: SandboxFiles) -> None:
    """A link itself, never what it leads to; a full directory only when that is said."""
    files.put("gone/deep/er/file", b"1")
    files.shell("ln -sfn gone/deep to-gone")

    assert files.delete("to-gone").status_code == 204
    assert files.stat("gone/deep")["type"] == "directory"
    assert code_of(files.delete("gone"), 409) == "not_empty"
    assert files.delete("gone", recursive="true").status_code == 204
    assert code_of(files.delete("gone"), 404) == "path_not_found"
    files.put("alone", b"")
    assert files.delete("alone").content == b""


def test_making_directories(files: SandboxFiles) -> None:
    """201 for a new one, 200 with `parents` for one that is there, else 409."""
    assert code_of(files.post("mkdir", path="made/a/b"), 404) == "path_not_found"
    new = files.post("mkdir", path="made/a/b", parents=True)
    assert (new.status_code, new.json()["type"]) == (201, "directory")
    assert files.post("mkdir", path="made/a/b", parents=True).status_code == 200
    assert code_of(files.post("mkdir", path="made/a/b"), 409) == "already_exists"
    files.put("made/file", b"")
    assert code_of(files.post("mkdir", path="made/file", parents=True), 409) == "already_exists"
    assert code_of(files.post("mkdir", path="made/file/x"), 409) == "not_directory"
    assert code_of(files.post("mkdir", parents=True), 422) == "bad_path"


@pytest.mark.parametrize("to", [HOME, "/tmp", "/dev/shm"])
def test_moving_and_copying(files: SandboxFiles, to: str) -> None:
    """Within a file system and to another one; nothing is replaced unless that is said."""
    files.put("from/a/file", b"content", query={"mode": "0750"})
    files.shell("cd from; ln -sfn a/file link")
    copied = files.post("copy", **{"from": "from", "to": f"{to}/copied"})
    moved = files.post("move", **{"from": f"{to}/copied", "to": f"{HOME}/moved"})

    assert (copied.status_code, moved.status_code) == (200, 200)
    assert moved.json()["path"] == f"{HOME}/moved"
    assert files.read("moved/a/file") == b"content"
    assert files.stat("moved/a/file")["mode"] == "0750"
    assert files.stat("moved/link")["target"] == "a/file"
    assert code_of(files.get(f"{to}/copied", "/stat"), 404) == "path_not_found"
    one = {"from": "moved/a/file", "to": "from/a/file"}
    files.put("moved/a/file", b"other")
    for operation in ("move", "copy"):
        assert code_of(files.post(operation, **one), 409) == "already_exists"
        assert files.read("from/a/file") == b"content"
    assert files.post("copy", **one, overwrite=True).status_code == 200
    assert files.post("move", **one, overwrite=True).status_code == 200
    assert files.read("from/a/file") == b"other"
    inside = {"from": "from", "to": "from/a/from"}
    assert code_of(files.post("move", **inside), 422) == "bad_path"
    assert code_of(files.post("copy", **inside), 422) == "bad_path"
    files.delete("from", recursive="true")
    files.delete("moved", recursive="true")


def test_a_list_is_sorted_by_path(files: SandboxFiles) -> None:
    """By whole paths: `a.b` is before `a/b`, and the directory itself is not in it."""
    for path in ("a/b", "a.b", "a/c/d", "B", "ä", "a-", ".hidden"):
        files.put(f"sorted/{path}", b"")

    one, all_levels = files.names("sorted"), files.names("sorted", depth=5)

    base = f"{HOME}/sorted/"
    assert one == [base + n for n in (".hidden", "B", "a", "a-", "a.b", "ä")]
    assert all_levels == sorted(all_levels)
    assert set(all_levels) == {*one, base + "a/b", base + "a/c", base + "a/c/d"}
    assert files.names("sorted", depth=2) == [p for p in all_levels if p != base + "a/c/d"]
    listed = files.get("sorted", "/list").json()
    assert listed[1] == files.stat("sorted/B")


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_pages_have_everything_once(files: SandboxFiles, limit: int) -> None:
    """`Link` leads through all of it, names that are not UTF-8 among them."""
    files.shell(r"mkdir -p paged/d; cd paged; touch 1 2 'a b' a+b d/x d.y $'\xff\xfe' 'd/é&='")
    whole = files.get("paged", "/list", query={"depth": 3}).json()

    found, address = [], files.address("paged", "/list", depth=3, limit=limit)
    while address:
        answer = files.gateway.get(address)
        found += answer.json()
        assert len(answer.json()) <= limit
        link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("Link", ""))
        address = link[1] if link else None

    assert found == whole
    assert len(found) == 9


def test_lines_in_the_place_of_an_array(files: SandboxFiles) -> None:
    """`application/x-ndjson`, when it is asked for."""
    for name in range(50):
        files.put(f"lines/{name:02}", b"")

    answer = files.get("lines", "/list", headers={"Accept": "application/x-ndjson"})

    assert answer.headers["Content-Type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines == files.get("lines", "/list").json()


def test_an_empty_directory_is_an_empty_array(files: SandboxFiles) -> None:
    """And of lines, none."""
    files.post("mkdir", path="nothing")

    assert files.get("nothing", "/list").content == b"[]"
    assert files.get("nothing", "/list", headers={"Accept": "application/x-ndjson"}).text == ""


def test_names_that_are_not_utf8_come_back(files: SandboxFiles) -> None:
    """As bytes in base64, in answers and in questions."""
    path = b"bytes/\xff\xfename"

    assert files.put(path, b"1").status_code == 201
    [listed] = files.get("bytes", "/list").json()

    assert listed["path"] == f"{HOME}/bytes/\ufffd\ufffdname"
    assert listed["name"] == "\ufffd\ufffdname"
    assert (
        files.gateway.get(f"{files.base}?path_b64={listed['path_b64'].replace('+', '%2B')}").content
        == b"1"
    )
    assert files.read(path) == b"1"
    assert files.post("move", from_b64=listed["path_b64"], to="bytes/plain").status_code == 200
    assert files.shell("ls bytes") == "plain\n"


def test_an_upload_that_breaks_off_leaves_the_old_file(files: SandboxFiles) -> None:
    """And nothing beside it, whether there was a file or not."""
    files.put("broken/old", b"old")
    for name in ("old", "new"):
        request = (
            f"PUT {files.address(f'broken/{name}')} HTTP/1.1\r\nHost: localhost\r\n"
            "Content-Length: 10000000\r\n\r\n"
        )
        with socket.create_connection(("127.0.0.1", files.gateway.port)) as client:
            client.sendall(request.encode() + bytes(1_000_000))

    eventually(lambda: files.shell("ls -A broken") == "old\n", within_s=10)
    assert files.read("broken/old") == b"old"
