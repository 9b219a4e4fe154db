"""Tools that read, write, change and list files of a sandbox."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from mcp_types import ImageContent

from gateway.api.mcp.arguments import EditFile, ListFiles, ReadFile, WriteFile
from gateway.api.mcp.backend import Defaults, Services
from gateway.api.mcp.budget import cost
from gateway.api.mcp.failures import ToolFailed
from gateway.api.mcp.file_lines import Lines, lines_of
from gateway.api.mcp.pictures import LARGEST_PICTURE_BYTES, kind_of
from gateway.api.mcp.places import Places
from gateway.api.mcp.tool import NUMBER, NUMBER_OR_NULL, TEXT, YES_OR_NO, Answer, Tool
from gateway.files.service import Conditions, Wanted
from gateway.schemas.paths_in_requests import path_of
from gateway.use.place import Place

AROUND = 300
"""Characters of an answer besides what was asked for, without the path."""

LARGEST_EDIT_BYTES = 4 * 1024 * 1024
BINARY_LOOK_BYTES = 8192
"""Where a zero byte makes a file a binary one: git looks as far."""

MOST_PLACES = 10
"""Lines named of an ambiguous text."""


class FileTools:
    """The tools, over the services."""

    def __init__(self, services: Services, places: Places, defaults: Defaults) -> None:
        self._services = services
        self._files = services.files
        self._places = places
        self._defaults = defaults

    def tools(self) -> list[Tool]:
        return [
            Tool(
                "read_file",
                "Read a text file by lines, exactly; images come as images. next_offset: the line "
                "to go on from, null at the end.",
                ReadFile,
                self._read,
                {
                    "path": TEXT,
                    "size": NUMBER,
                    "content": TEXT,
                    "truncated": YES_OR_NO,
                    "next_offset": NUMBER_OR_NULL,
                    "binary": YES_OR_NO,
                },
                frozenset(("binary",)),
            ),
            Tool(
                "write_file",
                "Write a whole file; missing directories are made.",
                WriteFile,
                self._write,
                {"path": TEXT, "size": NUMBER, "created": YES_OR_NO},
                audit="PUT /sandboxes/{}/files",
                destroys=True,
            ),
            Tool(
                "edit_file",
                "Replace exact text in a file. old must occur once, unless all is true.",
                EditFile,
                self._edit,
                {"path": TEXT, "size": NUMBER, "replaced": NUMBER},
                audit="PUT /sandboxes/{}/files",
                destroys=True,
            ),
            Tool(
                "list_files",
                "List a directory.",
                ListFiles,
                self._list,
                {
                    "entries": {"type": "array", "items": {"type": "object"}},
                    "truncated": YES_OR_NO,
                    "next_offset": NUMBER_OR_NULL,
                },
            ),
        ]

    # --- reading ---------------------------------------------------------------------------------

    def _read(self, asked: ReadFile) -> Answer:
        path = path_of(asked.path, None)
        budget = self._defaults.budget(asked.max_chars) - AROUND - cost(asked.path)
        with self._places.use(asked.sandbox_id) as use:
            place = use.place
            return self._services.waiting.until(lambda: self._read_at(place, path, asked, budget))

    def _read_at(self, place: Place, path: bytes, asked: ReadFile, budget: int) -> Answer:
        with self._files.read(place, path, Wanted()) as reading:
            entry = reading.entry
            said: dict[str, Any] = {"path": entry["path"], "size": entry["size"], "content": ""}
            said |= {"truncated": False, "next_offset": None}
            whole = reading.whole()
            pieces: Iterable[bytes] = iter((whole,)) if whole is not None else reading.pieces()
            first = next(iter(pieces), b"") if whole is None else whole
            kind = kind_of(first)
            if kind is not None:
                if (reading.size or 0) > LARGEST_PICTURE_BYTES:
                    raise ToolFailed(
                        f"{asked.path} is an image of {entry['size']} bytes; images of up to "
                        f"{LARGEST_PICTURE_BYTES} are shown. Make a smaller copy with run_command."
                    )
                data = first if whole is not None else first + b"".join(pieces)
                picture = ImageContent(data=base64.b64encode(data).decode(), mime_type=kind)
                seen = f"[{kind} of {len(data)} bytes]"
                return Answer(said | {"binary": True, "content": seen}, picture)
            if b"\0" in first[:BINARY_LOOK_BYTES]:
                return Answer(
                    said
                    | {
                        "binary": True,
                        "content": f"[binary file of {entry['size']} bytes, not shown; look at it "
                        "with run_command: file, xxd, strings]",
                    }
                )
            rest: Iterable[bytes] = () if whole is not None else pieces
            lines = lines_of(first, rest, asked.offset, asked.limit, budget)
        return Answer(said | _of_lines(lines, asked))

    # --- writing ---------------------------------------------------------------------------------

    def _write(self, asked: WriteFile) -> Answer:
        path, content = path_of(asked.path, None), asked.content.encode()
        with self._places.use(asked.sandbox_id) as use:
            place = use.place
            entry, is_new = self._services.waiting.until(
                lambda: self._files.write(place, path, content)
            )
        return Answer({"path": entry["path"], "size": entry["size"], "created": is_new})

    def _edit(self, asked: EditFile) -> Answer:
        path = path_of(asked.path, None)
        with self._places.use(asked.sandbox_id) as use:
            place = use.place
            return self._services.waiting.until(lambda: self._edit_at(place, path, asked))

    def _edit_at(self, place: Place, path: bytes, asked: EditFile) -> Answer:
        with self._files.read(place, path, Wanted()) as reading:
            if reading.size is None or reading.size > LARGEST_EDIT_BYTES:
                raise ToolFailed(
                    f"{asked.path} is larger than {LARGEST_EDIT_BYTES} bytes: edit it with "
                    "run_command, by sed or a script."
                )
            etag = reading.entry.get("etag")
            content = reading.whole()
            if content is None:
                content = b"".join(reading.pieces())
        old, new = asked.old.encode(), asked.new.encode()
        found = content.count(old)
        if found == 0:
            raise ToolFailed(_not_found(asked, content, old))
        if found > 1 and not asked.all:
            raise ToolFailed(
                f"old occurs {found} times in {asked.path}, in lines {_lines_with(content, old)}: "
                "nothing was changed. Give more of the text around it, or all true for every one."
            )
        conditions = None if etag is None else Conditions(only_if=[etag])
        entry, _ = self._files.write(place, path, content.replace(old, new), conditions=conditions)
        return Answer({"path": entry["path"], "size": entry["size"], "replaced": found})

    # --- listing ---------------------------------------------------------------------------------

    def _list(self, asked: ListFiles) -> Answer:
        path = path_of(asked.path, None)
        with self._places.use(asked.sandbox_id) as use:
            place = use.place
            shown, more = self._services.waiting.until(
                lambda: self._list_at(place, path, asked, self._defaults.budget(None) - AROUND)
            )
        return Answer(
            {
                "entries": shown,
                "truncated": more,
                "next_offset": asked.offset + len(shown) if more else None,
            }
        )

    def _list_at(
        self, place: Place, path: bytes, asked: ListFiles, budget: int
    ) -> tuple[list[dict[str, Any]], bool]:
        shown: list[dict[str, Any]] = []
        passed = 0
        most = asked.offset + asked.limit
        with self._files.listed(place, path, depth=1, limit=most, after=None) as listing:
            with closing(iter(listing)) as parts:  # type: ignore[type-var]
                for entry in (one for part in parts for one in part):
                    passed += 1
                    if passed <= asked.offset:
                        continue
                    said = {name: entry[name] for name in ("name", "type", "size")}
                    if "target" in entry:
                        said["target"] = entry["target"]
                    budget -= cost(entry["name"] + entry.get("target", "")) + 60
                    if budget < 0:
                        return shown, True
                    shown.append(said)
            return shown, listing.more


def _of_lines(lines: Lines, asked: ReadFile) -> dict[str, Any]:
    if lines.first_missing is not None:
        raise ToolFailed(
            f"{asked.path} has {lines.first_missing} lines: line {asked.offset} is beyond its end."
        )
    return {
        "content": lines.text,
        "truncated": lines.next_line is not None,
        "next_offset": lines.next_line,
    }


def _not_found(asked: EditFile, content: bytes, old: bytes) -> str:
    said = f"old does not occur in {asked.path}: nothing was changed."
    if b"\r\n" in content and b"\n" in old and old.replace(b"\n", b"\r\n") in content:
        return f"{said} Its lines end in \\r\\n: write old and new with \\r\\n."
    return f"{said} It must fit exactly, blanks and line ends too: read the file again."


def _lines_with(content: bytes, old: bytes) -> str:
    named: list[str] = []
    at, line, counted = content.find(old), 1, 0
    while at >= 0 and len(named) < MOST_PLACES:
        line += content.count(b"\n", counted, at)
        named.append(str(line))
        counted, at = at, content.find(old, at + len(old))
    return ", ".join(named) + (" …" if at >= 0 else "")
