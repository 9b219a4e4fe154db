"""Streamed commands: output as it is produced, by raw byte offsets, then the result."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Iterator

import pytest

from tests.commands.story import Story, streamed
from tests.support.clients import Connection, connect
from tests.support.gateway_process import GatewayProcess

pytestmark = pytest.mark.engine

RESULT_KEYS = {
    *("type", "request_id", "command", "success", "output", "error", "returncode", "timestamp"),
}
MIB = 1024 * 1024


@pytest.fixture
def connection(shared_gateway: GatewayProcess, module_sandbox: str) -> Iterator[Connection]:
    with connect(shared_gateway, module_sandbox) as opened:
        yield opened


def test_a_streamed_command_tells_its_start_its_output_and_its_result(
    connection: Connection,
) -> None:
    """The order is what clients build on: a pid to show, then text, then the verdict."""
    story = streamed(connection, "echo out; sleep 0.1; echo err >&2; exit 3", "r1")
    assert story.kinds == ["started", "stdout", "stderr", "result"]
    assert set(story.started) == {"type", "request_id", "pid"}
    assert story.started["pid"] > 1
    assert (story.stdout, story.stderr) == (b"out\n", b"err\n")
    assert set(story.result) == RESULT_KEYS
    assert story.result["type"] == "result"
    assert (story.result["output"], story.result["error"]) == ("out\n", "err\n")
    assert (story.result["returncode"], story.result["success"]) == (3, False)


def test_output_comes_while_the_command_runs(connection: Connection) -> None:
    """Streaming that waits for the end is none."""
    connection.ask("echo early; sleep 2; echo late", request_id="r1", stream=True)
    story = Story("r1")
    began = time.monotonic()
    while not story.stdout:
        story.take(connection.receive())
    assert time.monotonic() - began < 1.5
    assert story.stdout == b"early\n"
    assert story.read(connection).stdout == b"early\nlate\n"


@pytest.mark.parametrize(
    ("command", "returncode"),
    [
        ("true", 0),
        ("exit 42", 42),
        ("no-such-program", 127),
        ("touch f; chmod -x f; ./f", 126),
        ("kill -9 $$", 137),
        ("kill -TERM $$", 143),
        ("exit 255", 255),
    ],
)
def test_streamed_commands_end_with_the_shells_codes(
    connection: Connection, command: str, returncode: int
) -> None:
    """A wrong code is a wrong answer, whatever the output was."""
    assert streamed(connection, command, "r1").result["returncode"] == returncode


def test_offsets_count_raw_bytes_not_characters(connection: Connection) -> None:
    """A client resumes by bytes; characters of two to four bytes would lead it astray."""
    story = streamed(
        connection, "printf 'äöü沙箱😀'; sleep 0.2; printf 'x沙'; sleep 0.2; echo y", "r"
    )
    assert story.stdout.decode() == "äöü沙箱😀x沙y\n"
    assert story.next["stdout"] == len("äöü沙箱😀x沙y\n".encode())


def test_a_character_split_across_writes_arrives_whole(connection: Connection) -> None:
    """Programs flush where they like; half a character on a screen is garbage."""
    pieces = r"'\xf0' '\x9f' '\x98' '\x80' 'a' '\xe6' '\xb2' '\x99'"
    command = f"for b in {pieces}; do printf $b; sleep 0.1; done"
    story = streamed(connection, command, "r1")
    assert story.stdout.decode() == "😀a沙"
    assert story.result["output"] == "😀a沙"


def test_bytes_that_are_no_utf8_become_replacement_characters(connection: Connection) -> None:
    """JSON holds text only; what is none must show as such and not end the connection."""
    connection.ask(r"printf 'a\xff\xfeb\xe6\xb2'", request_id="r1", stream=True)
    text = ""
    while (message := connection.receive())["type"] != "result":
        if message["type"] == "stdout":
            text += message["data"]
    assert text == "a\ufffd\ufffdb\ufffd"
    assert message["output"] == text


def test_offsets_stay_raw_after_bytes_that_are_no_utf8(connection: Connection) -> None:
    """A replacement character stands for one byte here and is three bytes long as text."""
    connection.ask(
        r"printf 'a\xff\xff'; sleep 0.3; printf 'b\xe6'; sleep 0.3; echo c",
        request_id="r1",
        stream=True,
    )
    offsets = []
    while (message := connection.receive())["type"] != "result":
        if message["type"] == "stdout":
            offsets.append((message["offset"], message["data"]))
    assert offsets == [(0, "a\ufffd\ufffd"), (3, "b"), (4, "\ufffdc\n")]


def test_attach_inside_a_character_loses_no_character_after_it(connection: Connection) -> None:
    """Offsets are bytes, so a client may come back between any two of them."""
    connection.run("printf 'ab沙c'", request_id="inside")
    connection.send({"type": "attach", "request_id": "inside", "stdout": 3, "stderr": 0})
    pieces = []
    while (message := connection.receive())["type"] != "result":
        if message["type"] == "stdout":
            pieces.append((message["offset"], message["data"]))
    assert pieces[0][0] == 3
    assert "".join(text for _, text in pieces).endswith("c")


def test_base64_is_byte_exact_for_20_mb(connection: Connection) -> None:
    """Archives and pictures go through this channel; one changed byte ruins them."""
    command = "head -c 20000000 /dev/urandom > big; sha256sum < big >&2; cat big; rm big"
    story = streamed(connection, command, "r1", encoding="base64", max_output_bytes=0)
    assert len(story.stdout) == 20_000_000
    assert hashlib.sha256(story.stdout).hexdigest() == story.stderr.decode().split()[0]
    assert story.result["returncode"] == 0


def test_base64_results_are_byte_exact(connection: Connection) -> None:
    """The encoding is for the result too, or the exact bytes would need a stream."""
    result = connection.run(r"printf '\000\001\377'; printf '\376' >&2", encoding="base64")
    assert base64.b64decode(result["output"]) == b"\x00\x01\xff"
    assert base64.b64decode(result["error"]) == b"\xfe"


@pytest.mark.parametrize("stream", [False, True])
def test_a_capped_result_keeps_head_and_tail(connection: Connection, stream: bool) -> None:
    """The beginning says what ran, the end how it ended; the true sizes say what is missing."""
    command = "printf BEGIN; head -c 3000000 /dev/zero | tr '\\0' x; printf END; printf no >&2"
    connection.ask(command, request_id="r1", stream=stream, max_output_bytes=1000)
    while "returncode" not in (message := connection.receive()):
        pass
    assert message["output"].startswith("BEGINx")
    assert message["output"].endswith("xEND")
    assert len(message["output"]) == 1000
    assert message["error"] == "no"
    assert message["truncated"] == {"output_bytes": 3_000_008, "error_bytes": 2}


@pytest.mark.parametrize("stream", [False, True])
def test_a_cap_of_zero_leaves_only_the_sizes(connection: Connection, stream: bool) -> None:
    """Whoever has the stream need not get all of it once more with the result."""
    connection.ask("echo hello; echo x >&2", request_id="r1", stream=stream, max_output_bytes=0)
    while "returncode" not in (message := connection.receive()):
        pass
    assert (message["output"], message["error"], message["returncode"]) == ("", "", 0)
    assert message["truncated"] == {"output_bytes": 6, "error_bytes": 2}


def test_a_result_below_its_cap_is_not_called_truncated(connection: Connection) -> None:
    """The key is there only where it says something."""
    assert "truncated" not in connection.run("printf 12345", max_output_bytes=5)


def test_a_background_child_does_not_hold_the_result_back(connection: Connection) -> None:
    """A server started with & keeps stdout open for as long as it lives."""
    began = time.monotonic()
    story = streamed(connection, "echo up; sleep 30 & exit 0", "r1")
    assert time.monotonic() - began < 5
    assert (story.stdout, story.result["returncode"]) == (b"up\n", 0)
    connection.run("pkill sleep")


def test_output_of_one_write_before_the_exit_is_never_lost(connection: Connection) -> None:
    """The last bytes are in the pipe when the process is gone already."""
    for number in range(30):
        story = streamed(connection, f"seq 1 {number * 500}", f"r{number}")
        assert len(story.stdout.split()) == number * 500


def test_the_core_result_without_stream_has_exactly_its_seven_keys(connection: Connection) -> None:
    """Clients that know nothing of streams must not see any difference."""
    assert set(connection.run("echo hi", request_id="a")) == RESULT_KEYS - {"type"}


def test_streams_of_several_commands_share_a_connection(connection: Connection) -> None:
    """Events carry the request_id, so that they can be told apart."""
    for name in "abc":
        connection.ask(
            f"for i in 1 2 3; do echo {name}$i; sleep 0.1; done", stream=True, request_id=name
        )
    stories = {name: Story(name) for name in "abc"}
    while not all(story.over for story in stories.values()):
        message = connection.receive()
        stories[message["request_id"]].take(message)
    assert {n: s.stdout.decode().split() for n, s in stories.items()} == {
        name: [f"{name}{i}" for i in (1, 2, 3)] for name in "abc"
    }


@pytest.mark.parametrize("link", ["exec"])
def test_the_same_holds_over_docker_exec(own_gateway, link: str) -> None:
    """A gateway that is not root reaches its agents by another way."""
    gateway = own_gateway(link=link).start_ready()
    with connect(gateway, gateway.create()) as connection:
        story = streamed(
            connection,
            "head -c 5000000 /dev/urandom > big; sha256sum < big >&2; cat big; exit 7",
            "r1",
            encoding="base64",
            max_output_bytes=10,
        )
    assert hashlib.sha256(story.stdout).hexdigest() == story.stderr.decode().split()[0]
    assert story.result["returncode"] == 7
    assert story.result["truncated"]["output_bytes"] == 5_000_000
