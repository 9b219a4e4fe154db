"""The pages of the documentation, read: headings, links, tables and code blocks."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"^<!--.*?-->\n", re.DOTALL | re.MULTILINE)
_IN_CODE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_NOT_IN_AN_ANCHOR = re.compile(r"[^\w\- ]")


@dataclass(frozen=True)
class Page:
    """One Markdown file; `name` is its path from `root`, that of the repository."""

    name: str
    root: Path = ROOT

    @property
    def path(self) -> Path:
        return self.root / self.name

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def prose(self) -> str:
        """Everything but the code blocks and comments."""
        return _COMMENT.sub("", _FENCED.sub("", self.text))

    @property
    def headings(self) -> list[tuple[int, str]]:
        """(level, title), in order."""
        found = re.findall(r"^(#+) (.+)$", self.prose, re.MULTILINE)
        return [(len(marks), title) for marks, title in found]

    @property
    def anchors(self) -> set[str]:
        """What a link to a heading names: as GitHub makes it of the title."""
        seen: Counter[str] = Counter()
        anchors = set()
        for _, title in self.headings:
            anchor = _NOT_IN_AN_ANCHOR.sub("", title.lower()).replace(" ", "-")
            anchors.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
            seen[anchor] += 1
        return anchors

    @property
    def links(self) -> list[str]:
        """Targets, in order; what is in code is none."""
        return _LINK.findall(_IN_CODE.sub("", self.prose))

    @property
    def blocks(self) -> list[tuple[str, str]]:
        """(language, code) of each code block."""
        return _FENCED.findall(self.text)

    def code(self, language: str) -> list[str]:
        return [code for kind, code in self.blocks if kind == language]

    @property
    def tables(self) -> list[list[list[str]]]:
        """The cells of each table's rows, without head and ruler."""
        tables = re.findall(r"(?:^\|.*\n)+", self.prose, re.MULTILINE)
        return [
            [
                [cell.strip() for cell in line.strip("|").split(" | ")]
                for line in table.splitlines()[2:]
            ]
            for table in tables
        ]

    @property
    def rows(self) -> list[list[str]]:
        """The cells of all tables' rows."""
        return [row for table in self.tables for row in table]


def broken_links(page: Page) -> list[str]:
    """Targets that lead nowhere: no such file, or no such heading in it. Other sites are not
    asked."""
    return [target for target in page.links if not _leads_somewhere(page, target)]


def _leads_somewhere(page: Page, target: str) -> bool:
    if re.match(r"[a-z]+:", target):
        return True
    file, _, anchor = target.partition("#")
    path = (page.path.parent / file).resolve() if file else page.path
    if not (path.is_file() and path.is_relative_to(page.root)):
        return False
    return not anchor or anchor in Page(str(path.relative_to(page.root)), page.root).anchors
