"""gunicorn's own log, in the gateway's lines."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger

from gateway.logs.escaped_lines import OneLine


class GunicornLog(Logger):  # type: ignore[misc]  # gunicorn has no types
    """What gunicorn says of broken requests quotes them."""

    def _set_handler(
        self, log: logging.Logger, output: Any, fmt: logging.Formatter, stream: Any = None
    ) -> None:
        super()._set_handler(log, output, OneLine(fmt._fmt, fmt.datefmt), stream)
