"""Commands by pid and tag, how they were started, and what of their output somebody has had."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.commands.processes import processes_in
from gateway.errors import CommandNotFound, StdinNotOpen, TerminalMissing
from gateway.link.ask import ask
from gateway.link.follower import Exited, Follower, Output, Started
from gateway.link.input import InputWriter
from gateway.link.link import Link
from tests.support.eventually import eventually
from tests.support.local_agent import local_agent

ARGV = ["sh", "-c", "cat; exit 7"]


@pytest.fixture(scope="module")
def links() -> Iterator[Callable[[], Link]]:
    with local_agent() as link:
        yield link


@pytest.fixture
def link(links: Callable[[], Link]) -> Link:
    return links()


def _start(link: Link, key: str, **fields: Any) -> int:
    """Start a command that nobody waits for; its pid."""
    asked = {"key": key, "request_id": key, "command": "", "meta": {"key": key}, **fields}
    pid = ask(link, "run", mode="detached", **asked)["pid"]
    assert isinstance(pid, int)
    return pid


def _follow(link: Link, **which: Any) -> tuple[Started, bytes, Exited | None]:
    """Follow to the exit, or until there is as much output as `size` says."""
    size = which.pop("size", None)
    follower = Follower({"op": "attach", **which}, (0, 0))
    channel = link.open(follower, follower.message(), follower.credit)
    started, out = None, b""
    try:
        for event in follower.events(channel):
            if isinstance(event, Started):
                started = event
            elif isinstance(event, Output):
                out += event.data
                if len(out) == size:
                    assert started is not None
                    return started, out, None
            elif isinstance(event, Exited):
                assert started is not None
                return started, out, event
    finally:
        channel.cancel()
    raise AssertionError("no exit came")


def test_a_command_is_found_by_its_pid_and_by_its_tag(link: Link) -> None:
    """That is how other protocols name it; the latest of a tag counts."""
    _start(link, "first", argv=["true"], tag="t")
    pid = _start(link, "second", argv=ARGV, tag="t", interactive=True)
    InputWriter({"tag": "t"}, b"hello", False).over(link)
    InputWriter({"pid": pid}, b"!", True).over(link)

    for which in ({"pid": pid}, {"tag": "t"}):
        started, out, exited = _follow(link, **which)
        assert (started.pid, started.meta["key"], out) == (pid, "second", b"hello!")
        assert exited is not None
        assert (exited.returncode, exited.signal) == (7, None)
    for which in ({"pid": 2**22 + 1}, {"tag": "nobody"}):
        with pytest.raises(CommandNotFound):
            _follow(link, **which)


def test_what_runs_is_told_as_it_was_started(link: Link) -> None:
    """Words, variables and directory; nothing of what has ended. What is too long for a list is
    left out, and the process is told all the same."""
    pid = _start(link, "cat", argv=["cat"], interactive=True, env={"A": "b"}, cwd="/", tag="c")
    text = _start(link, "text", command="cat", interactive=True)
    large = _start(link, "large", argv=["cat", "-"], env={"A": "x" * 100_000}, interactive=True)
    more = _start(link, "more", argv=["cat", "-"], env={"A": "x" * 120_000}, interactive=True)
    most = _start(link, "most", argv=["cat", "-"], env={"A": "x" * 120_000}, interactive=True)
    _start(link, "over", argv=["true"])

    told = {one.pid: one for one in processes_in(ask(link, "processes", count=200))}
    assert (told[pid].argv, told[pid].env, told[pid].cwd) == (["cat"], {"A": "b"}, "/")
    assert (told[pid].tag, told[text].argv, told[text].command) == ("c", None, "cat")
    assert (told[large].argv, told[most].argv) == (["cat", "-"], None)
    for key in ("cat", "text", "large", "more", "most"):
        ask(link, "signal", request_id=key, signal="KILL")
    assert more in told
    eventually(lambda: ask(link, "processes", count=200)["processes"] == [], within_s=10)


def test_a_signal_that_ended_a_command_is_told(link: Link) -> None:
    """A return code of 137 may also be the program's own."""
    pid = _start(link, "killed", argv=["sleep", "60"])
    ask(link, "signal", pid=pid, signal="KILL")
    _, _, killed = _follow(link, pid=pid)
    said = _start(link, "said", argv=["sh", "-c", "exit 137"])
    _, _, exited = _follow(link, pid=said)

    assert killed is not None
    assert exited is not None
    assert (killed.returncode, killed.signal) == (137, 9)
    assert (exited.returncode, exited.signal) == (137, None)


def test_the_end_of_its_time_may_be_a_kill_at_once(link: Link) -> None:
    """Of the whole tree, whatever it does about TERM."""
    began = time.monotonic()
    script = "trap '' TERM; sleep 60 & echo $!; wait; sleep 60"
    pid = _start(link, "late", argv=["sh", "-c", script], timeout=0.3, kill=True)
    _, out, exited = _follow(link, pid=pid)

    assert exited is not None
    assert (exited.timed_out, exited.signal) == (True, 9)
    assert time.monotonic() - began < 1.8  # the grace after a TERM is two seconds
    eventually(lambda: not os.path.exists(f"/proc/{int(out)}/fd/0"), within_s=5)


def test_what_nobody_has_had_is_delivered_and_nothing_twice(link: Link) -> None:
    """From where gateways said that clients have read; a client that left with some unread may
    take back what it alone had."""
    pid = _start(link, "told", argv=["sh", "-c", "printf 0123456789; cat"], interactive=True)
    assert _follow(link, pid=pid, undelivered=True, size=10)[1] == b"0123456789"

    def deliver(to: int, instead_of: int) -> None:
        ask(link, "delivered", key="told", offsets=[to, 0], instead_of=[instead_of, 0])

    def undelivered(size: int) -> tuple[int, bytes]:
        started, out, _ = _follow(link, pid=pid, undelivered=True, size=size)
        return started.offsets[0], out

    deliver(4, 0)
    assert undelivered(6) == (4, b"456789")
    deliver(2, 4)
    assert undelivered(8) == (2, b"23456789")
    deliver(6, 2)
    deliver(3, 2)  # another client, which was not as far
    assert undelivered(4) == (6, b"6789")
    deliver(99, 6)
    InputWriter({"pid": pid}, b"end", True).over(link)
    started, out, exited = _follow(link, pid=pid, undelivered=True)
    assert (started.offsets[0], out) == (10, b"end")
    assert exited is not None
    ask(link, "delivered", key="nobody", offsets=[1, 1], instead_of=[0, 0])


def test_input_may_be_for_a_terminal_only_or_for_none(link: Link) -> None:
    """Protocols have two words for it."""
    piped = _start(link, "piped", argv=["cat"], interactive=True)
    shown = _start(link, "shown", argv=["cat"], tty={"cols": 80, "rows": 24})
    with pytest.raises(TerminalMissing):
        InputWriter({"pid": piped, "to_terminal": True}, b"x", False).over(link)
    with pytest.raises(StdinNotOpen):
        InputWriter({"pid": shown, "to_terminal": False}, b"x", True).over(link)
    InputWriter({"pid": piped, "to_terminal": False}, b"", True).over(link)
    InputWriter({"pid": shown, "to_terminal": True}, b"\x04", False).over(link)
    assert _follow(link, pid=piped)[0].terminal is False
    assert _follow(link, pid=shown)[0].terminal is True
