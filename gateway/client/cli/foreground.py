"""A command in the foreground: its streams are those of `sgw`, and Ctrl-C is its own."""

from __future__ import annotations

import os
import signal
import stat
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

from ..api_error import ApiError, ConnectionLost, SandboxGatewayError
from ..error_codes import CommandFinished, StdinNotOpen
from ..models.commands import CommandStarted, OutputGap
from ..sync.commands import CommandHandle
from .exit_status import (
    CLOSED_PIPE,
    FAILED,
    INTERRUPTED,
    STDERR,
    STDOUT,
    Unwritable,
    say,
    status_of,
    write,
)

INPUT_BYTES = 64 * 1024


def is_piped_in() -> bool:
    """Whether somebody gives input: not a terminal, not /dev/null."""
    try:
        return not stat.S_ISCHR(os.fstat(0).st_mode)
    except OSError:
        return False  # closed


class Foreground:
    """One command that is followed to its end.

    The first Ctrl-C interrupts the command, the second leaves it; with `leaves_at_once` the first
    one does. `how_to_follow` is said when it goes on without `sgw`.
    """

    def __init__(
        self,
        handle: CommandHandle,
        how_to_follow: str,
        *,
        has_input: bool = False,
        leaves_at_once: bool = False,
    ) -> None:
        self._handle = handle
        self._how_to_follow = how_to_follow
        self._has_input = has_input
        self._interrupts = 1 if leaves_at_once else 0
        self._has_started = threading.Event()
        self._incomplete = False
        self.goes_on = False
        """Whether the command may still run."""

    def run(self) -> int:
        """The status to end with, having said what people must know."""
        before = signal.signal(signal.SIGINT, self._interrupted)
        if self._has_input:
            threading.Thread(target=self._feed, daemon=True).start()
        try:
            return self._followed()
        except KeyboardInterrupt:
            self._say_that_it_goes_on()
            return INTERRUPTED
        except Unwritable as error:
            self.goes_on = self._has_started.is_set()
            if error.is_closed:
                return CLOSED_PIPE
            say(str(error))
            self._say_that_it_goes_on()
            return FAILED
        except ApiError as error:
            say(str(error))
            return FAILED
        except SandboxGatewayError as error:
            say(str(error))
            self._say_that_it_goes_on()
            return FAILED
        finally:
            signal.signal(signal.SIGINT, before)

    def _followed(self) -> int:
        told_error = False
        for event in self._handle.events():
            if isinstance(event, CommandStarted):
                self._has_started.set()
            elif isinstance(event, OutputGap):
                self._incomplete = True
                say(f"{event.end - event.start} bytes of {event.stream} are not kept any more")
            else:
                told_error |= event.stream == "stderr"
                write(STDERR if event.stream == "stderr" else STDOUT, event.data)
        self._has_started.set()
        result = self._handle.result
        if result is None:
            return FAILED
        if result.returncode and not told_error:
            write(STDERR, result.stderr)  # why it could not be run
        status = status_of(result.returncode)
        return FAILED if self._incomplete and status == 0 else status

    def _say_that_it_goes_on(self) -> None:
        if self._has_started.is_set():
            self.goes_on = True
            say(f"the command goes on; to follow it: {self._how_to_follow}")

    # --- input and Ctrl-C ------------------------------------------------------------------------

    def _interrupted(self, _number: int, _frame: FrameType | None) -> None:
        self._interrupts += 1
        if self._interrupts > 1:
            raise KeyboardInterrupt
        say("interrupting the command; Ctrl-C again leaves it")
        self._aside(lambda: self._handle.signal("INT"))

    def _aside(self, work: Callable[[], Any]) -> None:
        """Not in the handler, which may have interrupted a request."""

        def do() -> None:
            try:
                self._has_started.wait()
                work()
            except SandboxGatewayError:
                pass  # it has ended meanwhile, or another Ctrl-C leaves it

        threading.Thread(target=do, daemon=True).start()

    def _feed(self) -> None:
        """Pass on what is piped in, to its end or until the command takes no more."""
        self._has_started.wait()
        try:
            while data := os.read(0, INPUT_BYTES):
                self._handle.write(data)
            self._handle.close_stdin()
        except (CommandFinished, StdinNotOpen):
            pass  # as a pipe's reader may
        except ApiError as error:
            if error.code != "command_not_found":
                self._lost_input(error)
        except (ConnectionLost, OSError) as error:
            self._lost_input(error)

    def _lost_input(self, error: Exception) -> None:
        self._incomplete = True
        say(f"not all of the input was passed on: {error}")
