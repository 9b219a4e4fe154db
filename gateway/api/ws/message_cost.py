"""How many bytes a client's message costs as long as the gateway holds it."""

from __future__ import annotations

import sys

from gateway.schemas.models import CommandRequest

COMMAND_BYTES = 3072
"""What a command costs beside its message: the request, its place in the queue, its greenlet."""

VARIABLE_BYTES = 300
"""What a variable of its environment costs: two strings and a place in a dictionary. Measured with
80,000 of the shortest ones in a message of 1 MB: 17 MB."""

INPUT_BYTES = 256
"""What a piece of input costs beside its bytes."""


def cost_of_command(frame: str | bytes, request: CommandRequest) -> int:
    """Of a command that waits or runs: its text, stdin and environment are kept until its end,
    because it is handed over anew when the link breaks."""
    return COMMAND_BYTES + sys.getsizeof(frame) + VARIABLE_BYTES * len(request.env or ())


def cost_of_input(data: bytes) -> int:
    """Of input that its command has not read."""
    return INPUT_BYTES + len(data)
