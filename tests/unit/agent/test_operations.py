"""What a gateway may ask of an agent, by the agent's own word: a real one, on this machine."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from gateway.errors import (
    BadRequest,
    CommandFinished,
    CommandNotFound,
    FeatureMissing,
    LinkLost,
    StdinNotOpen,
)
from gateway.link.ask import ask, running_commands, wait_until_quiet
from gateway.link.channel import NOTHING
from gateway.link.input import InputWriter
from gateway.link.link import LATE_BYTES, Link
from gateway.protocol import frames
from tests.support.local_agent import local_agent, outcome


@pytest.fixture(scope="module")
def links() -> Iterator[Callable[[], Link]]:
    with local_agent() as link:
        yield link


@pytest.fixture
def link(links: Callable[[], Link]) -> Link:
    return links()


def _start(link: Link, **fields: Any) -> None:
    """Start a command that nobody waits for."""
    key = fields["request_id"]
    assert ask(link, "run", key=key, mode="detached", meta={}, **fields)["event"] == "started"


def test_argv_is_started_without_a_shell(link: Link) -> None:
    """Each word as it is; found by the PATH that the command has."""
    argv = ["printf", "%s|", "a b", "$HOME", "*", "it's", 'a"b', "", "città"]

    assert outcome(link, argv=argv) == (0, "a b|$HOME|*|it's|a\"b||città|".encode(), b"")
    assert outcome(link, argv=["pwd"], cwd="/usr")[1] == b"/usr\n"
    assert outcome(link, argv=["printenv", "A"], env={"A": "b c"})[1] == b"b c\n"


@pytest.mark.parametrize(
    ("argv", "returncode"),
    [(["no-such-program"], 127), (["/etc/passwd"], 126), (["/"], 126), (["false"], 1)],
)
def test_what_cannot_be_started_has_a_shells_return_code(
    link: Link, argv: list[str], returncode: int
) -> None:
    """As a shell would say of the same words."""
    assert outcome(link, argv=argv)[0] == returncode


def test_a_word_with_a_nul_is_an_error_of_the_command(link: Link) -> None:
    """execve(2) cannot take one."""
    returncode, _, error = outcome(link, argv=["echo", "a\0b"])

    assert returncode == 126
    assert b"null" in error


@pytest.mark.parametrize("argv", [[], "ls", [1], [["ls"]], {"0": "ls"}, [None]])
def test_what_is_no_argv_is_refused(link: Link, argv: object) -> None:
    """By the agent, too: others than this gateway may speak to it one day."""
    with pytest.raises(BadRequest):
        outcome(link, argv=argv)


def test_argv_has_no_session(link: Link) -> None:
    """A session is a shell, and argv has none."""
    with pytest.raises(BadRequest):
        outcome(link, argv=["ls"], session="main")


def test_a_command_is_listed_as_it_could_be_typed(link: Link) -> None:
    """Whoever attaches sees what runs."""
    outcome(link, argv=["printf", "%s", "a b"], request_id="typed")
    [listed] = ask(link, "list", request_id="typed")["commands"]

    assert outcome(link, command=listed["command"]) == (0, b"a b", b"")


@pytest.mark.parametrize("user", [os.getuid(), str(os.getuid()), getpass.getuser(), None])
def test_the_agents_own_user_may_be_named(link: Link, user: object) -> None:
    """By number or name, or not at all."""
    code, out, _ = outcome(link, command="id -u", user=user)

    assert (code, out) == (0, f"{os.getuid()}\n".encode())


@pytest.mark.parametrize("user", ["somebody", 12345, "12345", "", [], {"uid": 0}])
def test_nothing_is_started_as_somebody_else(link: Link, user: object) -> None:
    """Never silently as the wrong one."""
    with pytest.raises(BadRequest, match="starts nothing as"):
        outcome(link, command="id -u", user=user, request_id="as-somebody")

    assert ask(link, "list", request_id="as-somebody")["commands"] == []


def test_input_of_a_command_is_any_bytes(link: Link) -> None:
    """They travel as they are, beside the JSON."""
    data = bytes(range(256)) * 5000

    assert outcome(link, command="cat", input=True, body=data) == (0, data, b"")
    assert outcome(link, command="cat", input=True)[1] == b""
    assert outcome(link, command="cat")[1] == b""


def test_more_input_than_anybody_holds_arrives_whole(link: Link) -> None:
    """The command reads later: credit comes back as it does, and nothing is held meanwhile but
    what the pipe, the agent's buffer and the credit allow."""
    moves: list[int] = []
    data = os.urandom(1_500_000)
    _start(link, request_id="late", command="read go; sha256sum", interactive=True)
    writer = InputWriter({"request_id": "late"}, data, True, lambda: moves.append(writer.taken))
    writing = gevent.spawn(writer.over, link)
    while writer.taken < 256 * 1024:
        gevent.sleep(0.001)
    assert running_commands(link) == 1
    assert writer.taken < 1_000_000
    assert not writing.ready()

    # `read` reads byte by byte, up to a line's end, of which random bytes have enough.
    writing.get(timeout=20)

    assert moves == sorted(set(moves))
    assert writer.taken == len(data)
    assert wait_until_quiet(link, 10)


def test_input_is_written_once_whatever_links_break(links: Callable[[], Link]) -> None:
    """On the next link it goes on where the agent says that it is; what was under way when the last
    one broke is not written twice."""
    data = b"".join(b"%08d" % number for number in range(60_000))
    first = links()
    _start(first, request_id="once", command="sleep 0.3; cat", interactive=True)
    writer = InputWriter({"request_id": "once"}, data, True)
    for _ in range(3):
        link = links()
        writing = gevent.spawn(writer.over, link)
        gevent.sleep(0)
        while not writer.taken and not writing.ready():
            gevent.sleep(0.001)
        link.close()
        with pytest.raises(LinkLost):
            writing.get()

    with gevent.Timeout(20):
        writer.over(links())

    returncode, out, _ = outcome(links(), key="once", request_id="once")
    assert (returncode, out) == (0, data)


def test_input_that_cannot_be_written_has_its_own_errors(link: Link) -> None:
    """Each before a byte is written."""
    with pytest.raises(CommandNotFound):
        InputWriter({"request_id": "nobody"}, b"x", False).over(link)
    _start(link, request_id="deaf", command="sleep 30")
    with pytest.raises(StdinNotOpen):
        InputWriter({"request_id": "deaf"}, b"x" * 500_000, False).over(link)
    ask(link, "signal", request_id="deaf", signal="KILL")
    wait_until_quiet(link, 10)
    with pytest.raises(CommandFinished):
        InputWriter({"request_id": "deaf"}, b"x", False).over(link)


def test_a_wait_that_was_given_up_leaves_nothing(links: Callable[[], Link]) -> None:
    """Each used to stay until its link was closed."""
    link = links()
    _start(link, request_id="long", command="sleep 30")
    for _ in range(3):
        assert not wait_until_quiet(link, 0.02)
    ask(link, "signal", request_id="long", signal="KILL")

    assert wait_until_quiet(link, 10)
    # What the agent told the three would have come before this answer, as late bytes of theirs.
    assert running_commands(link) == 0
    assert set(link._closed.values()) == {LATE_BYTES}


def test_an_unknown_operation_is_refused(link: Link) -> None:
    """A newer gateway finds out; the link goes on."""
    for name in ("fly", None, 7, ""):
        with pytest.raises(FeatureMissing, match="no operation"):
            ask(link, name)  # type: ignore[arg-type]
    assert running_commands(link) == 0


@pytest.mark.parametrize("payload", [b"", b"\0\0\0\2{", b"\0\0\0\2{}", b"\0\0\0\1x", b"\xff" * 9])
def test_a_broken_open_ends_the_link_and_no_other(
    links: Callable[[], Link], payload: bytes
) -> None:
    """The agent lives on for everybody else."""
    other, link = links(), links()
    link.send(frames.encode(frames.OPEN, 7, payload))
    with gevent.Timeout(10):
        while not link.lost:
            gevent.sleep(0.001)

    assert running_commands(other) == 0
    with pytest.raises(LinkLost):
        link.open(object(), {"op": "running"}, NOTHING)  # type: ignore[arg-type]
