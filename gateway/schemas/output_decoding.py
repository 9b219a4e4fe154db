"""Output in pieces, as it goes into messages: a character split by any read arrives whole."""

from __future__ import annotations

import base64
import codecs


class PieceDecoder:
    """Turns the pieces of one stream into texts, each with the offset of its first raw byte."""

    def __init__(self, encoding: str) -> None:
        self._decoder = (
            None if encoding == "base64" else codecs.getincrementaldecoder("utf-8")("replace")
        )
        self._pending = 0
        self._end = 0

    @property
    def offset(self) -> int:
        """Where the next text will stand: all raw bytes before it have been given out."""
        return self._end - self._pending

    def feed(self, offset: int, data: bytes) -> tuple[int, str] | None:
        """(offset, text) of what `data`, which stands at `offset`, completes; None if nothing.

        The first bytes of a character whose rest has not come yet are held back.
        """
        self._end = offset + len(data)
        if self._decoder is None:
            return offset, base64.b64encode(data).decode("ascii")
        start = offset - self._pending
        text = self._decoder.decode(data)
        self._pending = len(self._decoder.getstate()[0])
        return (start, text) if text else None

    def flush(self) -> tuple[int, str] | None:
        """(offset, text) of bytes that were held back and whose rest will not come."""
        if self._decoder is None or not self._pending:
            return None
        text = self._decoder.decode(b"", final=True)
        start, self._pending = self._end - self._pending, 0
        self._decoder.reset()
        return start, text
