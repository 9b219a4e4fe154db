"""A terminal in a sandbox on the terminal of `sgw`."""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click

from ..api_error import SandboxGatewayError
from ..sync.terminal import Terminal
from .exit_status import FAILED, STDOUT, Ended, Unwritable, say, status_of, write
from .terminal_modes import TerminalModes

DETACH = b"\x10\x11"
"""Ctrl-P Ctrl-Q, as with docker."""

_KEYS_BYTES = 4096


def is_terminal() -> bool:
    """Whether somebody sits here: only then is there a terminal in the sandbox."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def size() -> tuple[int, int]:
    """Columns and rows."""
    found = shutil.get_terminal_size()
    return found.columns, found.lines


@contextmanager
def raw_mode() -> Iterator[None]:
    """Keys come one by one, and none is a signal. The terminal is as before afterwards, whatever
    ends it: also SIGTERM and SIGHUP."""
    before = termios.tcgetattr(0)

    def end(number: int, _frame: FrameType | None) -> None:
        raise Ended(128 + number)

    handlers = {one: signal.signal(one, end) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        for one, handler in handlers.items():
            signal.signal(one, handler)


class RawTerminal:
    """Shows a terminal until what runs in it ends, or its viewer leaves."""

    def __init__(self, opened: Callable[[], Terminal], how_to_return: str) -> None:
        self._opened = opened
        self._how_to_return = how_to_return
        self._has_left = threading.Event()
        self._waking, self._waker = os.pipe()
        self._modes = TerminalModes()
        self.goes_on = False

    def run(self) -> int:
        """The status to end with."""
        terminal = self._opened()
        before = signal.signal(signal.SIGWINCH, lambda *_: os.write(self._waker, b"w"))
        try:
            with raw_mode():
                threading.Thread(target=self._type, args=(terminal,), daemon=True).start()
                try:
                    self._show(terminal)
                finally:
                    self._tidy()
        except (SandboxGatewayError, Unwritable) as error:
            say(str(error))
            self._say_that_it_goes_on(terminal)
            return FAILED
        finally:
            signal.signal(signal.SIGWINCH, before)
        if terminal.result is not None:
            return status_of(terminal.result.returncode)
        self._say_that_it_goes_on(terminal)
        return 0 if self._has_left.is_set() else FAILED

    def _show(self, terminal: Terminal) -> None:
        while not self._has_left.is_set():
            try:
                data = terminal.read(timeout=0.5)
            except TimeoutError:
                continue
            if not data:
                return
            self._modes.shown(data)
            write(STDOUT, data)

    def _tidy(self) -> None:
        try:
            write(STDOUT, self._modes.undoing())
        except Unwritable:
            pass

    def _say_that_it_goes_on(self, terminal: Terminal) -> None:
        self.goes_on = True
        click.echo(err=True)  # the cursor stands behind the prompt of the sandbox
        say(f"what runs there goes on; to return: {self._how_to_return} {terminal.request_id}")

    def _type(self, terminal: Terminal) -> None:
        """Pass on keys, and the size of the screen when it changes."""
        held = b""
        try:
            while True:
                ready, _, _ = select.select([0, self._waking], [], [])
                if self._waking in ready:
                    os.read(self._waking, _KEYS_BYTES)
                    terminal.resize(*size())
                if 0 not in ready:
                    continue
                keys = os.read(0, _KEYS_BYTES)
                if not keys:
                    self._has_left.set()
                    return
                keys, held = held + keys, b""
                if DETACH in keys:
                    terminal.write(keys[: keys.index(DETACH)])
                    self._has_left.set()
                    return
                if keys.endswith(DETACH[:1]):
                    keys, held = keys[:-1], keys[-1:]
                if keys:
                    terminal.write(keys)
        except (SandboxGatewayError, OSError):
            self._has_left.set()
