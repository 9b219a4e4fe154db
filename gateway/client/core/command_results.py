"""What both clients ask of commands and their results."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from ..api_error import CommandFailed, OutputLost
from ..models.commands import CommandResult
from .command_calls import INPUT_BYTES, CommandOptions


def checked(result: CommandResult, *, check: bool) -> CommandResult:
    """Raises CommandFailed and OutputLost, where `check` asks for it."""
    if check and result.returncode:
        raise CommandFailed(result)
    if check and result.gaps:
        lost = sum(gap.end - gap.start for gap in result.gaps)
        raise OutputLost(f"{lost} bytes of the output are not kept any more", result)
    return result


def take_large_input(options: CommandOptions) -> bytes | None:
    """Input that is too much for one message: taken out of the options, to be written later."""
    stdin = options.get("stdin")
    data = stdin.encode() if isinstance(stdin, str) else stdin
    if data is None or len(data) <= INPUT_BYTES:
        return None
    options["stdin"], options["interactive"] = None, True
    return data


def in_shell(command: str | Sequence[str]) -> str:
    """In a session: without the `exec` that would replace its shell."""
    return command if isinstance(command, str) else shlex.join(command)
