"""Files under bad input, and when something breaks in the middle."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.support.bare_image import image_without
from tests.support.eventually import eventually
from tests.support.files import SandboxFiles, code_of
from tests.support.gateway_process import GatewayProcess
from tests.support.rest_commands import in_background, run

AT_ONCE_S = 5.0


@pytest.fixture(scope="module")
def files(shared_gateway: GatewayProcess, module_sandbox: str) -> SandboxFiles:
    return SandboxFiles(shared_gateway, module_sandbox)


def test_each_path_error_has_its_own_code(files: SandboxFiles) -> None:
    """Programs tell them apart by `code`."""
    files.put("errors/file", b"1")
    files.shell("cd errors; ln -sfn loop loop; mkdir -p dir/full")

    for path in ("", "a\0b", "x" * 256, "/" + "y/" * 2048 + "z", "errors/loop"):
        for answer in (files.get(path), files.put(path, b"1"), files.put(path, bytes(100_000))):
            assert code_of(answer, 422) == "bad_path", path[:20]
    assert code_of(files.gateway.get(files.base), 422) == "bad_path"
    assert code_of(files.gateway.get(f"{files.base}?path=%ff"), 422) == "bad_path"
    assert code_of(files.gateway.get(f"{files.base}?path_b64=!"), 422) == "bad_path"
    assert code_of(files.get("errors/none"), 404) == "path_not_found"
    assert code_of(files.get("errors/file/below"), 409) == "not_directory"
    assert code_of(files.get("errors/file", "/list"), 409) == "not_directory"
    assert code_of(files.get("errors/dir"), 409) == "is_directory"
    assert code_of(files.put("errors/dir", b"1"), 409) == "is_directory"
    assert code_of(files.put("errors/file/below", b"1"), 409) == "not_directory"
    assert code_of(files.delete("errors/dir"), 409) == "not_empty"
    assert code_of(files.get("/etc/shadow"), 403) == "permission_denied"
    assert code_of(files.put("/etc/passwd", b"1"), 403) == "permission_denied"
    assert code_of(files.put("/usr/new/x", b"1"), 403) == "permission_denied"
    assert code_of(files.delete("/etc/passwd"), 403) == "permission_denied"
    assert code_of(files.get("/proc/1/root", "/list"), 403) == "permission_denied"
    assert code_of(files.get("/proc/1/root/etc/shadow"), 403) == "permission_denied"
    for query in ({"depth": 0}, {"limit": 0}, {"limit": -1}, {"depth": "x"}, {"other": 1}):
        assert code_of(files.get(".", "/list", query=query), 422) == "invalid_fields"
    assert code_of(files.get("errors/file", query={"user": "nobody"}), 422) == "invalid_fields"
    assert code_of(files.get("errors/file", query={"user": "root"}), 422) == "user_unavailable"
    assert files.read("errors/file") == b"1"


@pytest.mark.parametrize("made", ["mkfifo odd", "ln -s /dev/zero odd", "ln -s /dev/tty odd"])
def test_what_is_no_file_is_refused_at_once(files: SandboxFiles, made: str) -> None:
    """Reading a FIFO would wait for a writer for ever, and writing one would wake its reader."""
    files.shell(f"rm -f odd; {made}")
    began = time.monotonic()

    for answer in (files.get("odd"), files.put("odd", b"1"), files.put("odd", bytes(100_000))):
        assert code_of(answer, 409) == "not_a_file"
    assert code_of(files.get("odd", headers={"Range": "bytes=0-1"}), 409) == "not_a_file"
    assert time.monotonic() - began < AT_ONCE_S
    files.shell("rm odd")


def test_paths_of_4096_bytes_work(files: SandboxFiles) -> None:
    """One byte more than the kernel takes at a time."""
    path = ("l" * 199 + "/") * 20 + "m" * 96
    assert len(path) == 4096

    assert files.put(path, b"deep").status_code == 201
    assert files.put(path, b"deeper").status_code == 200
    assert files.read(path) == b"deeper"
    assert files.stat(path)["name"] == "m" * 96
    assert files.post("move", **{"from": path, "to": path[:-1] + "n"}).status_code == 200
    assert files.post("copy", **{"from": path[:-1] + "n", "to": path}).status_code == 200
    parent = path.rpartition("/")[0]
    assert [len(p) for p in files.names(parent)] == [len("/home/user/") + 4096] * 2
    assert len(files.names(".", depth=25)) > 20
    assert files.delete(path).status_code == 204
    assert files.delete("l" * 199, recursive="true").status_code == 204


def test_a_tree_deeper_than_any_path_is_deleted(files: SandboxFiles) -> None:
    """By descriptor, one level at a time."""
    step = 'os.mkdir("dddd"); os.chdir("dddd")'
    files.shell(f"mkdir deep; cd deep; python3 -c 'import os\nfor _ in range(1500): {step}'")

    assert files.delete("deep", recursive="true").status_code == 204


@pytest.mark.parametrize("path", ["/proc/meminfo", "/proc/self/environ", "/proc/kallsyms"])
def test_files_of_proc_have_content(files: SandboxFiles, path: str) -> None:
    """They say that their size is 0."""
    answer = files.get(path)

    assert answer.status_code == 200
    assert answer.content or path.endswith("environ")


def test_a_file_that_becomes_shorter_breaks_the_answer_off(files: SandboxFiles) -> None:
    """Nobody may take a part for the whole; who asks next gets what is there."""
    files.shell("head -c 60000000 /dev/zero > shrinks")
    request = f"GET {files.address('shrinks')} HTTP/1.1\r\nHost: localhost\r\n\r\n"

    with socket.create_connection(("127.0.0.1", files.gateway.port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.sendall(request.encode())
        received = len(client.recv(1000))
        files.shell("truncate -s 100 shrinks")
        client.settimeout(20)
        try:
            while piece := client.recv(1 << 20):
                received += len(piece)
        except ConnectionError:
            pass

    assert received < 60_000_000
    assert len(files.read("shrinks")) == 100


def test_a_file_that_grows_is_read_as_it_was(files: SandboxFiles) -> None:
    """As long as the head of the answer has said."""
    address = in_background(
        files.gateway,
        files.sandbox_id,
        "head -c 3000000 /dev/zero > grows; while :; do head -c 100000 /dev/zero >> grows; done",
        "grower",
    )
    eventually(lambda: files.get("grows", "/stat").status_code == 200)
    try:
        for _ in range(5):
            answer = files.get("grows")
            assert len(answer.content) == int(answer.headers["Content-Length"])
    finally:
        files.gateway.post(f"{address}/signal", json={"signal": "KILL"})
        files.shell("rm grows")


def test_a_full_disk_leaves_the_old_file(files: SandboxFiles) -> None:
    """507 in the middle of a write, small or large, and no byte of it stays."""
    path = "/dev/shm/full/file"
    files.put(path, b"old")
    files.shell("head -c 1G /dev/zero > /dev/shm/filler || true")

    for size in (30_000, 1_000_000, 10_000_000):
        assert code_of(files.put(path, os.urandom(size)), 507) == "no_space"
        assert code_of(files.put("/dev/shm/new/a", os.urandom(size)), 507) == "no_space"

    assert files.read(path) == b"old"
    assert files.shell("ls -A /dev/shm") == "filler\nfull\n"
    assert files.shell("ls -A /dev/shm/full") == "file\n"
    files.shell("rm -r /dev/shm/filler /dev/shm/full")


@pytest.mark.timeout(300)
def test_a_directory_of_100_000_entries(files: SandboxFiles) -> None:
    """The list is streamed, in order, and commands are answered meanwhile."""
    files.shell("mkdir many; cd many; seq -f %06g 100000 | xargs touch")
    stop, slowest = threading.Event(), [0.0]

    def ask() -> None:
        while not stop.is_set():
            began = time.monotonic()
            files.shell("true")
            slowest[0] = max(slowest[0], time.monotonic() - began)

    asking = threading.Thread(target=ask)
    asking.start()
    lines = {"Accept": "application/x-ndjson"}
    answer = files.get("many", "/list", headers=lines, stream=True)
    names = [line.split(b'"name":"')[1][:6] for line in answer.iter_lines()]
    stop.set()
    asking.join()

    assert names == [b"%06d" % n for n in range(1, 100_001)]
    assert slowest[0] < 5
    page = files.get("many", "/list", query={"limit": 10, "after": "many/099990"})
    assert [entry["name"] for entry in page.json()] == [f"{n:06}" for n in range(99_991, 100_001)]
    assert "Link" not in page.headers
    assert files.delete("many", recursive="true").status_code == 204


@pytest.mark.parametrize("directory", ["killed", "/dev/shm/killed"])
def test_an_upload_whose_process_is_killed_leaves_nothing(
    files: SandboxFiles, directory: str
) -> None:
    """Not half a file, and none beside it. Then all goes on as before."""
    files.put(f"{directory}/old", b"old")
    gone = threading.Event()

    def content() -> Iterator[bytes]:
        for number in range(40):
            if number == 20:
                files.shell("pkill -KILL sbxgwf")
                gone.set()
            yield bytes(100_000)

    answer = files.put(f"{directory}/old", content())

    assert gone.is_set()
    assert code_of(answer, 502) == "link_lost"
    assert files.read(f"{directory}/old") == b"old"
    assert files.shell(f"ls -A {directory}") == "old\n"


def test_everything_of_the_user_is_killed(files: SandboxFiles) -> None:
    """`kill -9 -1` ends the agent too; the next request starts all of it again."""
    files.put("survives", b"1")
    run(files.gateway, files.sandbox_id, "kill -9 -1")

    eventually(lambda: files.get("survives").status_code == 200, within_s=15)
    assert files.put("survives", b"2").status_code == 200


def test_a_gateway_that_is_killed_leaves_the_old_file(
    own_gateway: Callable[..., GatewayProcess],
) -> None:
    """In the middle of an upload, with nobody left to clean up but the sandbox itself."""
    gateway = own_gateway(workers="1").start_ready()
    files = SandboxFiles(gateway, gateway.create())
    files.put("dir/old", b"old")
    request = (
        f"PUT {files.address('dir/old')} HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Length: 100000000\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.port)) as client:
        client.sendall(request.encode() + bytes(3_000_000))
        eventually(lambda: files.shell("ls -l /proc/$(pgrep sbxgwf)/fd | grep -c dir") != "0\n")
        gateway.kill()
    gateway.start_ready()

    assert files.read("dir/old") == b"old"
    assert files.names("dir") == ["/home/user/dir/old"]
    assert files.shell("ls -A dir") == "old\n"


def test_files_work_over_a_docker_exec(own_gateway: Callable[..., GatewayProcess]) -> None:
    """Where the gateway is not on the engine's host the link is one: all is the same there."""
    gateway = own_gateway(workers="1", link="exec", network="none").start_ready()
    files = SandboxFiles(gateway, gateway.create())
    content = os.urandom(3_000_000)

    assert files.put("a/large", content).status_code == 201
    assert files.put("a/small", b"1").status_code == 201
    assert files.read("a/large") == content
    assert files.names("a") == ["/home/user/a/large", "/home/user/a/small"]


def test_a_paused_sandbox_is_resumed(files: SandboxFiles) -> None:
    """As it is by a command."""
    files.put("paused", b"1")
    files.gateway.post(f"/sandboxes/{files.sandbox_id}/pause")

    assert files.read("paused") == b"1"


def test_an_image_without_python3_has_no_files(
    own_gateway: Callable[..., GatewayProcess],
) -> None:
    """What needs the agent is refused clearly."""
    with image_without("python3") as image:
        gateway = own_gateway(workers="1", image=image).start_ready()
        files = SandboxFiles(gateway, gateway.create())

        for answer in (files.get("x"), files.put("x", b"1"), files.put("x", bytes(100_000))):
            assert code_of(answer, 422) == "feature_missing"
        assert code_of(files.get(".", "/list"), 422) == "feature_missing"
        gateway.close()
