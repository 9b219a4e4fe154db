"""Every error that the client raises on purpose.

SandboxGatewayError
├── ApiError                      the gateway has answered with an error; one subclass per code
├── GatewayUnreachable            nobody answers at the address
├── ConnectionLost                the connection broke, and what came of the call is not known
├── OutputLost                    part of a command's output is not kept any more
├── CommandFailed                 the return code is not 0, and `check` was asked for
├── WaitTimeout                   it did not happen within the time given
└── BadAddress                    what was given is no address of a gateway
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .models.commands import CommandResult
    from .models.sandboxes import Ended


class SandboxGatewayError(Exception):
    """Base of all errors of this package."""


class BadAddress(SandboxGatewayError, ValueError):
    """What was given is no address like http://localhost:8003."""


class GatewayUnreachable(SandboxGatewayError):
    """Nobody answers at the gateway's address."""


class ConnectionLost(SandboxGatewayError):
    """The connection broke and could not be made again in time, or the call may not be sent twice:
    it may or may not have been carried out."""


class WaitTimeout(SandboxGatewayError, TimeoutError):
    """What was waited for did not happen in the time given. Nothing was ended by it."""


class OutputLost(SandboxGatewayError):
    """Part of what a command wrote is not kept any more. `result` is the command's."""

    def __init__(self, message: str, result: CommandResult) -> None:
        super().__init__(message)
        self.result = result


class CommandFailed(SandboxGatewayError):
    """A command that was run with `check=True` has a return code other than 0. `result` is its
    result."""

    def __init__(self, result: CommandResult) -> None:
        said = result.error.strip()[-500:]
        super().__init__(
            f"{result.command!r} returned {result.returncode}" + (f": {said}" if said else "")
        )
        self.result = result


class ApiError(SandboxGatewayError):
    """The gateway has answered with an error: a problem document (RFC 9457) over HTTP, or a message
    of type `error` in a stream.

    `code` is stable and meant for programs. `message` is in the language that was asked for.
    `status` is that of HTTP, and None in a stream. `problem` is all of it.
    """

    code = "internal_error"

    def __init__(
        self,
        problem: Mapping[str, Any],
        *,
        status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        self.problem = dict(problem)
        self.code = str(problem.get("code") or type(self).code)
        self.status = status
        self.message = str(problem.get("message") or problem.get("title") or self.code)
        self.detail = str(problem.get("detail") or "")
        self.retry_after_s = retry_after_s
        self.is_uncertain = False
        """Whether an earlier attempt of the same call may have been carried out."""
        super().__init__(self._text())

    def _text(self) -> str:
        more = [self.detail] if self.detail and self.detail != self.message else []
        more += [f"{'.'.join(map(str, e.get('loc', [])))}: {e.get('msg')}" for e in self._fields()]
        said = "; ".join([self.message, *more])
        ended = self.problem.get("ended")
        if isinstance(ended, Mapping):
            said += f"; it has ended: {ended.get('reason')} ({ended.get('detail')})"
        return f"{said} [{self.code}]"

    def _fields(self) -> list[Mapping[str, Any]]:
        found = self.problem.get("errors")
        return [e for e in found if isinstance(e, Mapping)] if isinstance(found, list) else []

    @property
    def ended(self) -> Ended | None:
        """Why the sandbox is no more, where the gateway still knows."""
        from .models.sandboxes import Ended

        found = self.problem.get("ended")
        return Ended.from_json(found) if isinstance(found, Mapping) else None
