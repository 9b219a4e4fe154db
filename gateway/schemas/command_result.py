"""From the bytes that a command wrote to the result that clients get."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway import clock
from gateway.link.exited import Exited
from gateway.schemas.command_effects import NO_EFFECTS, CommandEffects
from gateway.schemas.models import CommandResult, Truncated

Pieces = Sequence[bytes | bytearray]


@dataclass(frozen=True)
class Outcome:
    """How a command ended and what is kept of its output.

    `pieces` are for stdout and stderr each: [everything], or [head, tail] when what lay between
    them was dropped, or [] when nothing is left.
    """

    exited: Exited
    pieces: tuple[Pieces, Pieces]

    @property
    def received(self) -> int:
        """Bytes of output that the gateway got."""
        return sum(len(piece) for pieces in self.pieces for piece in pieces)


def result_of(
    command: str,
    request_id: str,
    outcome: Outcome,
    encoding: str = "utf-8",
    kind: Literal["result"] | None = None,
    effects: CommandEffects = NO_EFFECTS,
) -> CommandResult:
    """The message that goes to the client, as a whole. `kind` and `effects` as in `described`."""
    written = base64_of if encoding == "base64" else text_of
    output, error = (written(pieces) for pieces in outcome.pieces)
    return described(command, request_id, outcome, kind, effects).model_copy(
        update={"output": output} | ({} if outcome.exited.failure is not None else {"error": error})
    )


def described(
    command: str,
    request_id: str,
    outcome: Outcome,
    kind: Literal["result"] | None = None,
    effects: CommandEffects = NO_EFFECTS,
) -> CommandResult:
    """The message but for what the command wrote, stamped with the time at which it ended.

    `kind` is "result" for streamed and attached commands, whose client gets other messages too.
    `effects` is what it tells of files.
    """
    exited, truncated = outcome.exited, None
    changes: Any = effects.changes  # as JSON has them
    if any(sum(map(len, p)) < size for p, size in zip(outcome.pieces, exited.sizes, strict=True)):
        truncated = Truncated(output_bytes=exited.sizes[0], error_bytes=exited.sizes[1])
    # Not validated again: validation would copy megabytes that are known to be text.
    return CommandResult.model_construct(
        request_id=request_id,
        command=command,
        success=exited.returncode == 0,
        output="",
        error=exited.failure or "",
        returncode=exited.returncode,
        timestamp=clock.local_timestamp(exited.at),
        type=kind,
        truncated=truncated,
        timed_out=True if exited.timed_out else None,
        session_ended=True if exited.session_ended else None,
        checkpoint=effects.checkpoint,
        changes=changes,
        changes_missing=effects.missing,
    )


def base64_of(pieces: Pieces) -> str:
    """Base64 of what is kept, head and tail joined."""
    return base64.b64encode(b"".join(pieces)).decode("ascii")


def text_of(pieces: Pieces) -> str:
    """UTF-8 decoded; bytes that are none become U+FFFD, a character cut in two is left out."""
    return "".join(str(piece, "utf-8", "replace") for piece in uncut(pieces))


def uncut(pieces: Pieces) -> Iterator[memoryview]:
    """What is decoded of each piece: without the characters that were cut in two between them."""
    if len(pieces) == 2:
        head, tail = memoryview(pieces[0]), memoryview(pieces[1])
        yield _without_cut_end(head)
        yield _without_cut_start(tail)
    else:
        yield from (memoryview(piece) for piece in pieces)


def _without_cut_end(head: memoryview) -> memoryview:
    """Drop the first bytes of a character whose rest was dropped (UTF-8: at most three)."""
    for back in range(1, min(4, len(head) + 1)):
        byte = head[-back]
        if byte & 0xC0 == 0x80:
            continue  # inside a character: look further back for its first byte
        length = 4 if byte >= 0xF0 else 3 if byte >= 0xE0 else 2 if byte >= 0xC0 else 1
        return head[:-back] if length > back else head
    return head


def _without_cut_start(tail: memoryview) -> memoryview:
    """Drop the last bytes of a character whose beginning was dropped."""
    start = 0
    while start < min(3, len(tail)) and tail[start] & 0xC0 == 0x80:
        start += 1
    return tail[start:]


class HeadAndTail:
    """Takes a stream of any length and keeps its first and last bytes, `cap` together.

    `grow(size)` is asked before more is held, and says how many bytes more may be: `size` or 0.
    After a 0 what is held is not more than before, and less is kept than `cap`.
    """

    STEP_BYTES = 256 * 1024

    def __init__(self, cap: int, grow: Callable[[int], int] = lambda size: size) -> None:
        self.size = 0
        self._head = bytearray()
        self._tail = bytearray()
        self._head_cap = cap // 2
        self._tail_cap = cap - cap // 2
        self._grow = grow
        self._allowed = 0

    def append(self, data: bytes) -> None:
        """Take in the next bytes of the stream."""
        self.size += len(data)
        self._allow(len(self._head) + len(self._tail) + len(data))
        room = self._head_cap - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        # Cut in large steps, or each small piece would move the whole tail.
        if len(self._tail) > 2 * self._tail_cap:
            del self._tail[: len(self._tail) - self._tail_cap]

    def _allow(self, wanted: int) -> None:
        """May hold `wanted` bytes, as far as caps let it come to that; else lower the caps."""
        while self._allowed < min(wanted, self._head_cap + 2 * self._tail_cap):
            granted = self._grow(self.STEP_BYTES)
            if not granted:
                self._head_cap = min(self._head_cap, max(len(self._head), self._allowed // 3))
                self._tail_cap = min(self._tail_cap, (self._allowed - self._head_cap) // 2)
                return
            self._allowed += granted

    def pieces(self) -> list[bytearray]:
        """What is kept, in the form of `Outcome.pieces`. Nothing may be appended any more."""
        del self._tail[: max(0, len(self._tail) - self._tail_cap)]
        if self.size == len(self._head) + len(self._tail):
            self._head += self._tail
            return [self._head]
        return [self._head, self._tail]
