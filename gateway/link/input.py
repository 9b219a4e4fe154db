"""Write to a command's standard input, over one link after the other if they break."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from gateway.link.link import Link


class InputWriter:
    """Bytes for the input of one command, and whether its input ends with them.

    `moved` is called whenever the command has taken some. Nothing is written twice: the agent
    knows what it has had of this `write_id`.
    """

    def __init__(
        self,
        which: dict[str, Any],
        data: bytes,
        eof: bool,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        """`which` are the fields by which the agent finds the command."""
        self.message = which | {"write_id": uuid.uuid4().hex}
        self.data = data
        self.eof = eof
        self.taken = 0
        """Bytes of `data` that need not be sent again."""
        self._moved = moved

    def took(self, up_to: int) -> None:
        """The command's input has everything before this offset."""
        if up_to > self.taken:
            self.taken = up_to
            self._moved()

    def over(self, link: Link) -> None:
        """Write what is left; blocks while the command does not read. Raises LinkLost, after which
        it may be called with another link, and CommandNotFound, CommandFinished, StdinNotOpen and
        LineTooLong."""
        link.dialect.write_input(link, self)
