"""Commands of one sandbox."""

from __future__ import annotations

import builtins
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal

from ..api_error import SandboxGatewayError
from ..core import command_calls
from ..core.collected_output import MOST_OUTPUT_BYTES, CollectedOutput
from ..core.command_calls import CommandOptions, OutputSlice, command_body
from ..core.command_results import checked, in_shell, take_large_input
from ..core.followed_command import FollowedCommand
from ..error_codes import CommandFinished, StdinNotOpen
from ..models.commands import (
    CommandEvent,
    CommandInfo,
    CommandResult,
    CommandStarted,
    OutputGap,
    OutputPiece,
)
from .driver import Driver

if TYPE_CHECKING:
    from typing_extensions import Unpack


class Commands:
    """Runs commands. A text is run by the sandbox's shell; a list is a program with its
    arguments, which no shell changes."""

    def __init__(self, driver: Driver, sandbox_id: str) -> None:
        self._driver = driver
        self._id = sandbox_id

    def run(
        self,
        command: str | Sequence[str],
        *,
        check: bool = False,
        max_output_bytes: int = MOST_OUTPUT_BYTES,
        **options: Unpack[CommandOptions],
    ) -> CommandResult:
        """Run it to its end. Over connections that break it runs once, and each byte comes once.

        A return code other than 0 raises CommandFailed only with `check`. Of each stream more than
        `max_output_bytes` is cut in the middle, which `left_out_bytes` tells.
        """
        large = take_large_input(options)
        if large is not None:
            handle = self.start(command, max_output_bytes=max_output_bytes, **options)
            writer = threading.Thread(target=_feed, args=(handle, large), daemon=True)
            writer.start()
            return handle.wait(check=check)
        body = command_body(command, options)
        followed = self._followed(body["request_id"], body | {"stream": True}, max_output_bytes)
        return checked(_run_to_end(self._driver, followed), check=check)

    def stream(
        self,
        command: str | Sequence[str],
        *,
        max_output_bytes: int = MOST_OUTPUT_BYTES,
        **options: Unpack[CommandOptions],
    ) -> CommandHandle:
        """Start it when the handle is iterated over or waited for, in one request: for output as it
        comes. With `max_output_bytes` 0 the result repeats none of it."""
        body = command_body(command, options)
        followed = self._followed(body["request_id"], body | {"stream": True}, max_output_bytes)
        return CommandHandle(self._driver, self._id, followed)

    def start(
        self,
        command: str | Sequence[str],
        *,
        max_output_bytes: int = MOST_OUTPUT_BYTES,
        **options: Unpack[CommandOptions],
    ) -> CommandHandle:
        """Start it, and go on. It runs whether somebody follows it or not."""
        body = command_body(command, options)
        pid = self._driver.call(command_calls.start(self._driver.retrying, self._id, body))
        followed = self._followed(body["request_id"], None, max_output_bytes)
        followed.pid = pid
        return CommandHandle(self._driver, self._id, followed)

    def attach(
        self,
        request_id: str,
        *,
        stdout: int = 0,
        stderr: int = 0,
        max_output_bytes: int = MOST_OUTPUT_BYTES,
    ) -> CommandHandle:
        """One that runs or has lately run, from these offsets of its output on."""
        followed = self._followed(request_id, None, max_output_bytes, (stdout, stderr))
        return CommandHandle(self._driver, self._id, followed)

    def list(self) -> builtins.list[CommandInfo]:
        """Those that run and those that have lately finished, oldest first."""
        return self._driver.call(command_calls.find_all(self._driver.retrying, self._id))

    def get(self, request_id: str) -> CommandInfo:
        """How one stands. Raises CommandNotFound."""
        return self._driver.call(command_calls.show(self._driver.retrying, self._id, request_id))

    def output(
        self, request_id: str, stream: Literal["stdout", "stderr"] = "stdout", offset: int = 0
    ) -> OutputSlice:
        """A piece of what one has written, from an offset on, without waiting for more."""
        return self._driver.call(
            command_calls.output_slice(self._driver.retrying, self._id, request_id, stream, offset)
        )

    def _followed(
        self,
        request_id: str,
        start: dict[str, Any] | None,
        most_bytes: int,
        offsets: tuple[int, int] = (0, 0),
    ) -> FollowedCommand:
        collected = CollectedOutput(most_bytes)
        return FollowedCommand(
            self._driver.retrying, self._id, request_id, start, offsets, collected
        )


def _feed(handle: CommandHandle, data: bytes) -> None:
    try:
        handle.write(data, eof=True)
    except (CommandFinished, StdinNotOpen):
        pass  # it need not read its input
    except SandboxGatewayError:
        pass  # whoever waits for the command hears of it


def _run_to_end(
    driver: Driver, followed: FollowedCommand, deadline: float | None = None
) -> CommandResult:
    for _event in driver.follow(followed.story(deadline=deadline)):
        pass
    assert followed.result is not None
    return followed.result


class CommandHandle:
    """A command that runs, or has run. Iterate over it for its output as it comes; it goes on when
    the client leaves."""

    def __init__(self, driver: Driver, sandbox_id: str, followed: FollowedCommand) -> None:
        self._driver = driver
        self._id = sandbox_id
        self._followed = followed

    def __repr__(self) -> str:
        return f"CommandHandle({self.request_id!r})"

    @property
    def request_id(self) -> str:
        """Its name: `attach` finds it again by that."""
        return self._followed.request_id

    @property
    def pid(self) -> int | None:
        """Inside the sandbox, as far as it is known."""
        return self._followed.pid

    @property
    def offsets(self) -> dict[str, int]:
        """How many bytes of `stdout` and `stderr` have been told: `attach` goes on there."""
        return dict(self._followed.offsets)

    @property
    def result(self) -> CommandResult | None:
        """Once it has been followed to its end."""
        return self._followed.result

    def __iter__(self) -> Iterator[OutputPiece | OutputGap]:
        return self.output()

    def output(self) -> Generator[OutputPiece | OutputGap, None, None]:
        """What it writes, from where the last reader stopped, to its end; then there is a `result`.
        Over connections that break, each byte comes once. What is not kept any more is a gap."""
        with closing(self.events()) as events:
            for event in events:
                if not isinstance(event, CommandStarted):
                    yield event

    def events(self) -> Generator[CommandEvent, None, None]:
        """The same, with CommandStarted first."""
        return self._driver.follow(self._followed.story())

    def wait(self, timeout: float | None = None, *, check: bool = False) -> CommandResult:
        """Its result, once it has ended. Raises WaitTimeout after `timeout` seconds, and with
        `check` CommandFailed."""
        deadline = None if timeout is None else self._driver.retrying.clock() + timeout
        if self._followed.result is None:
            _run_to_end(self._driver, self._followed, deadline)
        assert self._followed.result is not None
        return checked(self._followed.result, check=check)

    def write(self, data: bytes | str, *, eof: bool = False) -> None:
        """Write to its input, if it was started with `interactive` or `tty`; returns when all was
        taken. Where the connection breaks, ConnectionLost says that some may have been written."""
        sent = data.encode() if isinstance(data, str) else data
        self._call(command_calls.write, sent, eof=eof)

    def close_stdin(self) -> None:
        """End its input."""
        self.write(b"", eof=True)

    def signal(self, name: str = "INT") -> None:
        """To its whole process tree: `INT`, `TERM`, `KILL`, `USR1`."""
        self._call(command_calls.signal, name)

    def kill(self) -> None:
        """End its whole process tree at once. One that has ended is left as it is."""
        try:
            self.signal("KILL")
        except CommandFinished:
            pass

    def info(self) -> CommandInfo:
        """How it stands."""
        found: CommandInfo = self._call(command_calls.show)
        return found

    def _call(self, call: Any, *arguments: Any, **named: Any) -> Any:
        retrying = self._driver.retrying
        return self._driver.call(call(retrying, self._id, self.request_id, *arguments, **named))


class Session:
    """A shell that keeps its directory, variables and functions: its commands run one after the
    other. It begins with the first one and ends when the shell does."""

    def __init__(self, commands: Commands, name: str) -> None:
        self.name = name
        self._commands = commands

    def run(
        self,
        command: str | Sequence[str],
        *,
        check: bool = False,
        **options: Unpack[CommandOptions],
    ) -> CommandResult:
        """Run it in this shell. A list is one command of the shell, each part as it is."""
        options["session"] = self.name
        return self._commands.run(in_shell(command), check=check, **options)

    def start(
        self, command: str | Sequence[str], **options: Unpack[CommandOptions]
    ) -> CommandHandle:
        """Start it in this shell, after those before it."""
        options["session"] = self.name
        return self._commands.start(in_shell(command), **options)
