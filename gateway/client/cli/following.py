"""Commands that run already: `attach`, `logs`, `wait`, `ps`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Literal

import click

from .exit_status import FAILED, STDERR, STDOUT, Ended, say, status_of, write
from .invocation import Invocation, sandbox_argument, with_gateway
from .options import Seconds
from .sandbox_commands import age_of

if TYPE_CHECKING:
    from ..sync.sandbox import Sandbox


def _request_id(sandbox: Sandbox, given: str | None) -> str:
    """That which is given; else the latest that runs, or has run. Raises UsageError."""
    if given is not None:
        return given
    found = sandbox.commands.list()
    running = [one for one in found if one.status == "running"]
    if not found:
        raise click.UsageError("no command has run in this sandbox lately")
    return (running or found)[-1].request_id


def attached(
    invocation: Invocation, given: str, request_id: str | None, *, leaves_at_once: bool = False
) -> int:
    """Follow a command from its beginning; its status."""
    from ..core.socket_messages import TERMINAL
    from .foreground import Foreground
    from .raw_terminal import RawTerminal, is_terminal, size

    sandbox = invocation.sandbox(given)
    name = _request_id(sandbox, request_id)
    if name.startswith(TERMINAL) and is_terminal():
        cols, rows = size()
        return RawTerminal(
            lambda: sandbox.attach_terminal(name, cols=cols, rows=rows), f"sgw attach {sandbox.id}"
        ).run()
    handle = sandbox.commands.attach(name, max_output_bytes=0)
    how = f"--attach {name}" if leaves_at_once else f"sgw attach {sandbox.id} {name}"
    return Foreground(handle, how, leaves_at_once=leaves_at_once).run()


@click.command("attach")
@sandbox_argument()
@click.argument("request_id", required=False)
@with_gateway
def attach_command(invocation: Invocation, sandbox: str, request_id: str | None) -> None:
    """Follow a command from its beginning to its end, and end with its return code.

    Without REQUEST_ID it is the latest. Ctrl-C interrupts the command, a second one leaves it.
    """
    if invocation.is_json:
        found = invocation.sandbox(sandbox)
        result = found.commands.attach(_request_id(found, request_id)).wait()
        invocation.print_json(result.to_json())
        raise Ended(status_of(result.returncode))
    raise Ended(attached(invocation, sandbox, request_id))


@click.command("logs")
@click.option("-f", "--follow", is_flag=True, help="Go on with what it writes, to its end.")
@sandbox_argument()
@click.argument("request_id", required=False)
@with_gateway
def logs_command(
    invocation: Invocation, sandbox: str, request_id: str | None, follow: bool
) -> None:
    """Print what a command wrote, stdout and stderr apart. Without REQUEST_ID it is the latest."""
    found = invocation.sandbox(sandbox)
    name = _request_id(found, request_id)
    if follow and not invocation.is_json:
        handle = found.commands.attach(name, max_output_bytes=0)
        lost = 0
        for event in handle.output():
            if hasattr(event, "data"):
                write(STDERR if event.stream == "stderr" else STDOUT, event.data)
            else:
                lost += _say_lost(event.stream, event.end - event.start)
        raise Ended(FAILED if lost else 0)
    written: dict[str, bytes] = {}
    lost = 0
    for stream in ("stdout", "stderr"):
        pieces, missing = _kept(found, name, stream, keeps=invocation.is_json)
        written[stream] = pieces
        lost += missing
    if invocation.is_json:
        texts = {name: data.decode("utf-8", "replace") for name, data in written.items()}
        invocation.print_json({"request_id": name, **texts, "lost_bytes": lost})
    raise Ended(FAILED if lost else 0)


def _kept(
    sandbox: Sandbox, name: str, stream: Literal["stdout", "stderr"] | str, *, keeps: bool
) -> tuple[bytes, int]:
    """What there is of a stream, and how many bytes are not kept any more."""
    info = sandbox.commands.get(name)
    end = info.stdout_bytes if stream == "stdout" else info.stderr_bytes
    offset = lost = 0
    pieces = []
    while offset < end:
        piece = sandbox.commands.output(name, stream, offset)  # type: ignore[arg-type]
        if piece.offset > offset:
            lost += _say_lost(stream, piece.offset - offset)
        data = piece.data[: max(0, end - piece.offset)]
        if keeps:
            pieces.append(data)
        else:
            write(STDERR if stream == "stderr" else STDOUT, data)
        offset = max(piece.next, offset + 1)
    return b"".join(pieces), lost


def _say_lost(stream: str, size: int) -> int:
    say(f"{size} bytes of {stream} are not kept any more")
    return size


@click.command("wait")
@click.option("--timeout", type=Seconds(), help="Not longer than this; then the status is 255.")
@sandbox_argument()
@click.argument("request_id", required=False)
@with_gateway
def wait_command(
    invocation: Invocation, sandbox: str, request_id: str | None, timeout: float | None
) -> None:
    """Wait for a command's end, and end with its return code. Without REQUEST_ID: the latest."""
    found = invocation.sandbox(sandbox)
    result = found.commands.attach(_request_id(found, request_id)).wait(timeout)
    if invocation.is_json:
        invocation.print_json(result.to_json())
    else:
        click.echo(result.returncode)
    sys.stdout.flush()
    raise Ended(status_of(result.returncode))


@click.command("ps")
@sandbox_argument()
@with_gateway
def ps_command(invocation: Invocation, sandbox: str) -> None:
    """List the commands of a sandbox that run or have lately finished."""
    found = invocation.sandbox(sandbox).commands.list()
    if invocation.is_json:
        invocation.print_json([one.to_json() for one in found])
        return
    invocation.print_table(
        ("REQUEST ID", "STATUS", "CODE", "AGE", "COMMAND"),
        [
            (
                one.request_id,
                one.status,
                one.returncode,
                age_of(one.started_at) if one.started_at else "",
                " ".join(one.command.split())[:60],
            )
            for one in found
        ],
    )
