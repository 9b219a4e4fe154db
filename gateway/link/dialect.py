"""What differs between the protocols that agents speak, and which of them are spoken here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from gateway.link import protocol_1, protocol_2
from gateway.protocol.credit import Flow

if TYPE_CHECKING:
    from gateway.link.input import InputWriter
    from gateway.link.link import Link


class Dialect(Protocol):
    """One version of the protocol. Frames and channels are the same in all of them."""

    def opening(self, number: int, message: dict[str, Any], credit: tuple[int, int]) -> bytes:
        """The frame that opens a channel. Raises FeatureMissing for what the agent cannot do."""

    def crediting(self, number: int, stream: int, size: int, count: int) -> bytes:
        """The frame that gives credit."""

    def inward(self, credit: tuple[int, int]) -> Flow:
        """The account of what the agent may send on a channel that is opened with such credit."""

    def write_input(self, link: Link, writer: InputWriter) -> None:
        """Write what `writer` has left. Raises LinkLost, and what the agent refuses for."""


DIALECTS: dict[int, Dialect] = {1: protocol_1, 2: protocol_2}
"""By the number in an agent's HELLO."""
