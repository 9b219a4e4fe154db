"""What a Dockerfile builds upon; and the same file with a mark on all that is made by it.

The engine fetches what `FROM`, `COPY --from` and `ADD` name by itself, network or not. So bases are
looked for among the images of this host, and addresses are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.errors import BadTemplate

LONGEST = 256 * 1024

_DIRECTIVE = re.compile(r"#\s*([A-Za-z]+)\s*=\s*(.*?)\s*")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_ADDRESS = re.compile(r"://|\bgit@|\$")
_FROM_FLAG = re.compile(r"--from=(\S+)")


@dataclass
class Dockerfile:
    """`text` is the file as it is given to the engine; `bases` are the images that it needs."""

    text: str
    bases: set[str] = field(default_factory=set)


def read(content: bytes, mark: str) -> Dockerfile:
    """Of a Dockerfile, with the instruction `mark` at the beginning of each stage. Raises
    BadTemplate."""
    if len(content) > LONGEST:
        raise BadTemplate(f"the Dockerfile is longer than {LONGEST} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise BadTemplate("the Dockerfile is not UTF-8") from None
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    _check_directives(lines)
    reading = _Reading()
    marked: list[str] = []
    copied = 0
    for instruction, end in _instructions(lines):
        is_stage = reading.take(instruction)
        marked += lines[copied:end]
        copied = end
        if is_stage:
            marked.append(mark)
    if not reading.has_stages:
        raise BadTemplate("the Dockerfile has no FROM")
    return Dockerfile("\n".join([*marked, *lines[copied:]]), reading.bases)


class _Reading:
    """One pass over the instructions."""

    def __init__(self) -> None:
        self.bases: set[str] = set()
        self.has_stages = False
        self._stages: set[str] = {"scratch"}
        self._arguments: dict[str, str] = {}

    def take(self, instruction: str) -> bool:
        """Whether a stage begins with it."""
        word, *others = instruction.split(maxsplit=1)
        word, rest = word.upper(), "".join(others).strip()
        if word == "ONBUILD":
            if self.take(rest or "nothing"):
                raise _refused("ONBUILD FROM")
            return False
        if word == "ARG" and not self.has_stages:
            for argument in rest.split():
                name, _, value = argument.partition("=")
                self._arguments[name] = value.strip("\"'")
        elif word == "FROM":
            self._take_from(rest)
            return True
        elif word == "ADD" and _ADDRESS.search(rest):
            raise _refused("ADD of an address, or with a variable")
        elif word == "COPY":
            for source in _FROM_FLAG.findall(rest):
                if not source.isdecimal():
                    self._need(source)
        return False

    def _take_from(self, rest: str) -> None:
        self.has_stages = True
        words = rest.split()
        if not words or words[0].startswith("--"):
            raise _refused("FROM without an image, or with a flag")
        base = _VARIABLE.sub(lambda found: self._arguments.get(found[1] or found[2], ""), words[0])
        self._need(base)
        if len(words) == 3 and words[1].upper() == "AS":
            self._stages.add(words[2].lower())

    def _need(self, image: str) -> None:
        if not image or "$" in image:
            raise _refused("image whose name is not known")
        if image.lower() not in self._stages:
            self.bases.add(image)


def _refused(what: str) -> BadTemplate:
    return BadTemplate(f"in a template there is no {what}")


def _check_directives(lines: list[str]) -> None:
    """Those of a parser stand before all else."""
    for line in lines:
        found = _DIRECTIVE.fullmatch(line.strip())
        if found is None:
            return
        if found[1].lower() == "escape" and found[2] != "\\":
            raise BadTemplate("in a template there is no other escape character than the backslash")


def _instructions(lines: list[str]) -> Iterator[tuple[str, int]]:
    """Each in one piece, with the index behind its last line. Comments and empty lines within one
    are left out, as the engine does."""
    begun = ""
    for index, line in enumerate(lines):
        is_last = index == len(lines) - 1
        if not line.strip() or line.lstrip().startswith("#"):
            line = ""
        elif line.rstrip().endswith("\\") and not is_last:
            begun += line.rstrip()[:-1]
            continue
        elif not begun:
            yield line.strip(), index + 1
            continue
        if begun and (line or is_last):
            yield (begun + line).strip(), index + 1
            begun = ""
