"""One record of the log is one line, whoever's words are in it.

What clients, agents and engines say gets into the log in a hundred places; it is made harmless in
this one, through which every line passes: the workers', gunicorn's, and gevent's reports.
"""

from __future__ import annotations

import logging
import re

LONGEST_MESSAGE = 4000
LONGEST_TRACE = 16000
"""Characters."""

FORMAT = "%(asctime)s [%(process)d] %(levelname)s %(name)s: %(message)s"

_CONTINUED = "  | "
"""Before each line of a traceback: none begins with the words of an exception."""

# Control characters (C0, DEL, C1), what Unicode takes for the end of a line, what changes the
# direction of writing, what is invisible, and what UTF-8 cannot write.
_UNSAFE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff]"
)


def escaped(text: str, longest: int = LONGEST_MESSAGE) -> str:
    """`text` on one line, cut beyond `longest` characters."""
    if len(text) > longest:
        text = f"{text[:longest]}… ({len(text)} characters)"
    return _UNSAFE.sub(lambda found: _written(ord(found[0])), text)


def _written(code: int) -> str:
    named = {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}.get(code)
    if named is not None:
        return named
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


class OneLine(logging.Formatter):
    """Formats as its base does; but no message holds a line's end, and of a traceback every line is
    marked as one."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return escaped(super().formatMessage(record))

    def formatException(self, ei: object) -> str:
        return _marked(super().formatException(ei))  # type: ignore[arg-type]

    def formatStack(self, stack_info: str) -> str:
        return _marked(super().formatStack(stack_info))


def _marked(trace: str) -> str:
    if len(trace) > LONGEST_TRACE:
        # Where it happened is told at the end.
        trace = f"…\n{trace[-LONGEST_TRACE:]}"
    return "\n".join(_CONTINUED + escaped(line) for line in trace.split("\n"))
