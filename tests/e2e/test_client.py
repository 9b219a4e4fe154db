"""The Python client against a gateway: what each call does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.client import (
    AsyncSandbox,
    CommandFailed,
    Gateway,
    GatewayUnreachable,
    OutputLost,
    Sandbox,
    WaitTimeout,
    errors,
)
from tests.support.gateway_process import GatewayProcess, free_port
from tests.support.keys import ALICE, BOB


@pytest.fixture(scope="module")
def there(shared_gateway: GatewayProcess) -> Iterator[Gateway]:
    """The shared gateway, as a client has it."""
    with Gateway(shared_gateway.url) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def sandbox(there: Gateway) -> Iterator[Sandbox]:
    """One for all tests here."""
    with there.create(name="client-tests", labels={"test": "client"}) as made:
        yield made


def test_a_sandbox_lives_as_long_as_its_with(there: Gateway) -> None:
    """One that is connected to stays; and an error says why it is no more."""
    with there.create(memory_mb=256, env={"A": "1"}) as made:
        with there.connect(made.id) as same:
            assert same.info().memory_mb == 256
        assert made.commands.run("echo $A").output == "1\n"
    with pytest.raises(errors.SandboxNotFound) as gone:
        made.info()

    assert gone.value.ended is not None
    assert gone.value.ended.reason == "deleted"
    assert [event.event for event in made.follow_events()][-1] == "ended"


def test_sandboxes_are_found_by_name_and_label(there: Gateway, sandbox: Sandbox) -> None:
    """And changed, paused and resumed."""
    assert there.connect("client-tests").id == sandbox.id
    found = there.sandboxes(labels={"test": "client"})
    assert [one.sandbox_id for one in found] == [sandbox.id]
    with pytest.raises(errors.NameTaken):
        there.create(name="client-tests")

    assert sandbox.update(idle_timeout=700).idle_timeout == 700
    assert sandbox.pause().status == "paused"
    assert sandbox.resume().status != "paused"
    assert sandbox.stats().memory_bytes.used > 0


def test_a_return_code_raises_only_with_check(sandbox: Sandbox) -> None:
    """What the command wrote is there in both cases."""
    result = sandbox.commands.run("echo out; echo err >&2; exit 7")
    assert (result.stdout, result.error, result.returncode) == (b"out\n", "err\n", 7)
    assert not result.success

    with pytest.raises(CommandFailed, match="returned 7: err") as failed:
        sandbox.commands.run("echo err >&2; exit 7", check=True)
    assert failed.value.result.returncode == 7


@pytest.mark.parametrize(
    "words",
    [["a b", "c'd", '"', "$HOME", "*", "", "\n", "-n", "perché 沙箱"], ["--", "\\", "`id`"]],
)
def test_a_list_reaches_the_command_as_it_is(sandbox: Sandbox, words: list[str]) -> None:
    """No shell changes it."""
    result = sandbox.commands.run(["printf", "%s\\0", *words], check=True)

    assert result.output.split("\0")[:-1] == words


@pytest.mark.parametrize("size", [0, 1, 300_000, 3_000_000])
def test_all_of_the_input_arrives(sandbox: Sandbox, size: int) -> None:
    """Also what is more than one message takes, and where the command does not read it."""
    data = os.urandom(size)

    assert sandbox.commands.run("cat", stdin=data).stdout == data
    assert sandbox.commands.run("true", stdin=data).returncode == 0


def test_a_command_is_followed_written_to_and_signalled(sandbox: Sandbox) -> None:
    """A handle: iterate, write, wait, signal; another client attaches from an offset."""
    handle = sandbox.commands.start("read a; echo got $a; read b; echo $b >&2", interactive=True)
    handle.write("1\n")
    first = next(iter(handle))
    handle.write(b"2\n")
    result = handle.wait(30)
    assert (first.stream, result.output, result.error) == ("stdout", "got 1\n", "2\n")
    assert sandbox.commands.attach(handle.request_id, stdout=4).wait(30).output == "1\n"

    sleeping = sandbox.commands.start("echo up; sleep 100")
    with pytest.raises(WaitTimeout):
        sleeping.wait(0.2)
    assert sleeping.info().status == "running"
    sleeping.signal("TERM")
    assert sleeping.wait(30).returncode == 143
    sleeping.kill()  # one that has ended is left as it is


def test_a_session_keeps_its_state(sandbox: Sandbox) -> None:
    """Directory, variables, and lists too."""
    session = sandbox.session("client")
    session.run("cd /tmp; X=5")

    assert session.run("pwd; echo $X").output == "/tmp\n5\n"
    assert session.run(["echo", "$X"]).output == "$X\n"


def test_what_is_not_kept_is_told(sandbox: Sandbox) -> None:
    """A command that nobody followed wrote more than is kept."""
    handle = sandbox.commands.start("head -c 40000000 /dev/zero", request_id="client-much")
    result = handle.wait(60)
    again = sandbox.commands.attach("client-much").wait(60)

    assert sandbox.commands.run("true", max_output_bytes=10).is_complete
    assert len(result.stdout) + sum(gap.end - gap.start for gap in result.gaps) == 40_000_000
    assert not again.is_complete
    with pytest.raises(OutputLost):
        sandbox.commands.attach("client-much").wait(60, check=True)


def test_files_go_both_ways(sandbox: Sandbox, tmp_path: Path) -> None:
    """Text, bytes, parts, conditions, names that are no UTF-8, directories."""
    files = sandbox.files
    written = files.write("a/é.txt", "héllo", mode=0o640)
    assert (written.mode, files.read_text("a/é.txt")) == ("0640", "héllo")
    assert files.read("a/é.txt", offset=1, length=2) == "é".encode()
    with pytest.raises(errors.Changed):
        files.write("a/é.txt", "other", is_new=True)
    files.write("a/é.txt", "new", if_match=written.etag)
    with pytest.raises(errors.Changed):
        files.write("a/é.txt", "late", if_match=written.etag)

    name = b"a/\xff\xfe"
    files.write(name, b"odd")
    assert files.read(os.fsdecode(name)) == b"odd"
    found = files.list("a")
    assert [one.path_bytes for one in found] == [
        b"/home/user/" + name,
        "/home/user/a/é.txt".encode(),
    ][::-1]

    files.copy("a", "b")
    files.move("b/é.txt", "c.txt")
    files.delete("b", recursive=True)
    assert (files.exists("b"), files.stat("c.txt").size) == (False, 3)
    with pytest.raises(errors.PathNotFound):
        files.read("b/none")

    (tmp_path / "up" / "sub").mkdir(parents=True)
    (tmp_path / "up" / "sub" / "file").write_bytes(b"1" * 700_000)
    files.upload_directory(tmp_path / "up", "tree")
    files.download_directory("tree", tmp_path / "down")
    assert (tmp_path / "down" / "sub" / "file").read_bytes() == b"1" * 700_000


def test_snapshots_forks_and_changes(sandbox: Sandbox, there: Gateway) -> None:
    """Undo, and copies of one moment."""
    sandbox.files.write("state", "one")
    taken = sandbox.snapshots.create("client-snapshot")
    sandbox.files.write("state", "two")
    assert "/home/user/state" in sandbox.changes(taken).modified
    [copy] = sandbox.fork(1, labels={"copy": "yes"})
    assert isinstance(copy, Sandbox)
    with copy:
        assert copy.files.read_text("state") == "two"
    sandbox.restore("client-snapshot")
    assert sandbox.files.read_text("state") == "one"

    undoable = sandbox.commands.run("rm state", checkpoint=True, changes=True)
    assert undoable.changes is not None
    assert undoable.changes.deleted == ["/home/user/state"]
    assert undoable.checkpoint is not None
    sandbox.restore(undoable.checkpoint)
    assert sandbox.files.exists("state")
    assert {one.name for one in sandbox.snapshots.list()} >= {"client-snapshot"}
    for one in sandbox.snapshots.list():
        there.snapshots.delete(one.snapshot_id)


def test_a_terminal_is_read_written_and_resized(sandbox: Sandbox) -> None:
    """And ends with its shell's return code."""
    with sandbox.terminal(cols=90, rows=20) as terminal:
        terminal.write("stty size\n")
        shown = b""
        while b"20 90" not in shown:
            shown += terminal.read(30)
        terminal.resize(100, 30)
        terminal.write("stty size; exit 4\n")
        shown = b"".join(terminal)

    assert b"30 100" in shown
    assert terminal.result is not None
    assert terminal.result.returncode == 4


def test_ports_are_listed_and_opened(sandbox: Sandbox) -> None:
    """With the process that listens."""
    server = sandbox.commands.start("exec python3 -m http.server --bind 127.0.0.1 8099")
    try:
        found: list[int] = []
        while 8099 not in found:
            found = [one.port for one in sandbox.ports.list()]
        assert "/ports/8099/" in sandbox.ports.url(8099)
    finally:
        server.kill()


def test_asyncio_has_the_same(sandbox: Sandbox, shared_gateway: GatewayProcess) -> None:
    """Many at a time, a cancelled wait, a watch, a terminal."""

    async def work() -> None:
        async with AsyncSandbox.connect(sandbox.id, gateway) as found:
            results = await asyncio.gather(*[found.commands.run(f"echo {n}") for n in range(20)])
            assert [one.output for one in results] == [f"{n}\n" for n in range(20)]
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(found.commands.run("sleep 5"), 0.5)
            data = os.urandom(1_000_000)
            assert (await found.commands.run("cat", stdin=data)).stdout == data

            watch = found.files.watch(".")
            assert (await anext(watch)).event == "watching"
            await found.files.write("seen", b"x")
            assert (await anext(watch)).path == "/home/user/seen"
            await watch.aclose()

            handle = await found.commands.start("for n in 1 2 3; do echo $n; sleep 0.05; done")
            pieces = [piece.data async for piece in handle]
            assert b"".join(pieces) == b"1\n2\n3\n"
            async with await found.terminal(["sh", "-c", "echo hi; exit 3"]) as terminal:
                assert [data async for data in terminal] == [b"hi\r\n"]
            assert terminal.result is not None
            assert terminal.result.returncode == 3

    from gateway.client import AsyncGateway

    gateway = AsyncGateway(shared_gateway.url)

    async def closed_after() -> None:
        async with gateway:
            await work()

    asyncio.run(closed_after())


def test_a_key_opens_what_is_its_own(keyed: GatewayProcess) -> None:
    """Another's is not there; a token opens one sandbox."""
    with Gateway(keyed.url, ALICE) as alice, alice.create() as made:
        assert made.access_token is not None
        with Gateway(keyed.url, made.access_token) as holder:
            assert holder.connect(made.id).commands.run("echo in").output == "in\n"
            with pytest.raises(errors.TokenNotEnough):
                holder.sandboxes()
        with Gateway(keyed.url, BOB) as bob, pytest.raises(errors.SandboxNotFound):
            bob.connect(made.id)
    with Gateway(keyed.url, "") as nobody, pytest.raises(errors.Unauthorized):
        nobody.sandboxes()


def test_an_address_where_nobody_is_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once; and what is no address at all."""
    monkeypatch.setenv("GATEWAY_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(GatewayUnreachable):
        Sandbox.create()
    with pytest.raises(ValueError, match="is no address"):
        Gateway("localhost:8003")
