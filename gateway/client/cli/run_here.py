"""Commands with the streams of `sgw` as theirs: in the foreground, on its terminal, or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core.command_calls import CommandOptions
from .exit_status import FAILED, status_of
from .invocation import Invocation

if TYPE_CHECKING:
    from ..sync.sandbox import Sandbox


def open_shell(sandbox: Sandbox, asked: CommandOptions) -> tuple[int, bool]:
    """A login shell: the status, and whether it goes on without sgw."""
    from ..core.socket_messages import LOGIN_SHELL
    from .raw_terminal import is_terminal

    if is_terminal():
        return _on_terminal(sandbox, None, asked)
    from .foreground import Foreground, is_piped_in

    has_input = is_piped_in()
    asked["interactive"] = has_input
    handle = sandbox.commands.stream(LOGIN_SHELL, max_output_bytes=0, **asked)
    shown = Foreground(handle, _how(sandbox, handle.request_id), has_input=has_input)
    return shown.run(), shown.goes_on


def _how(sandbox: Sandbox, request_id: str) -> str:
    return f"sgw attach {sandbox.id} {request_id}"


def _on_terminal(
    sandbox: Sandbox, words: list[str] | None, asked: CommandOptions
) -> tuple[int, bool]:
    from .raw_terminal import RawTerminal, size

    cols, rows = size()
    shown = RawTerminal(
        lambda: sandbox.terminal(words, cols=cols, rows=rows, **asked), f"sgw attach {sandbox.id}"
    )
    return shown.run(), shown.goes_on


def run_words(
    invocation: Invocation,
    sandbox: Sandbox,
    words: list[str],
    asked: CommandOptions,
    *,
    wants_terminal: bool,
    wants_input: bool,
) -> tuple[int, bool]:
    """The status, and whether it goes on without sgw."""
    if wants_terminal:
        from .raw_terminal import is_terminal

        if is_terminal():
            return _on_terminal(sandbox, words, asked)
    from .foreground import Foreground, is_piped_in

    has_input = is_piped_in() or wants_input
    if invocation.is_json:
        return _as_json(invocation, sandbox, words, asked, has_input=has_input), False
    asked["interactive"] = has_input
    if asked.get("session"):
        from ..core.command_results import in_shell

        handle = sandbox.commands.stream(in_shell(words), max_output_bytes=0, **asked)
    else:
        handle = sandbox.commands.stream(words, max_output_bytes=0, **asked)
    shown = Foreground(handle, _how(sandbox, handle.request_id), has_input=has_input)
    return shown.run(), shown.goes_on


def _as_json(
    invocation: Invocation,
    sandbox: Sandbox,
    words: list[str],
    asked: CommandOptions,
    *,
    has_input: bool,
) -> int:
    if has_input:
        with open(0, "rb", closefd=False) as piped:
            asked["stdin"] = piped.read()
    result = sandbox.commands.run(words, **asked)
    invocation.print_json(result.to_json())
    return status_of(result.returncode) if result.is_complete or result.returncode else FAILED


def run_lines(
    invocation: Invocation, sandbox: Sandbox, lines: list[str], asked: CommandOptions
) -> int:
    """One after the other, whatever they return; the last one's status. The first gets what is
    piped in."""
    from .foreground import Foreground, is_piped_in

    status = FAILED
    for number, line in enumerate(lines):
        has_input = number == 0 and is_piped_in()
        asked["interactive"] = has_input
        if invocation.is_json:
            result = sandbox.commands.run(line, **asked)
            invocation.print_json(result.to_json())
            status = status_of(result.returncode)
            continue
        handle = sandbox.commands.stream(line, max_output_bytes=0, **asked)
        shown = Foreground(
            handle, f"--attach {handle.request_id}", has_input=has_input, leaves_at_once=True
        )
        status = shown.run()
        if handle.result is None:
            return status
    return status
