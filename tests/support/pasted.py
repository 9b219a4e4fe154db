"""The examples of a document, pasted one after the other as a reader does, and what they say they
print."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_BETWEEN_DOCUMENTS = re.compile(r"(?<=[}\]])(?=[{\[])")
_ID = re.compile(r"[0-9a-f]{32}")
_VARIES = re.compile(r"[0-9a-f]{32}|[0-9]+(\.[0-9]+)*")

EXACT = {"code", "output", "error", "returncode", "success", "event", "reason", "title", "data"}
"""Fields whose values are the same for every reader."""

BLOCK_S = 120.0


@dataclass(frozen=True)
class Example:
    """What is pasted, and the lines that the document says are printed; [] where it does not."""

    language: str
    code: str
    printed: list[str]


def examples_in(text: str) -> list[Example]:
    """All blocks of shell, Python and JavaScript, in order."""
    blocks = _FENCED.findall(text)
    found = []
    for number, (language, code) in enumerate(blocks):
        if language in ("sh", "python", "javascript"):
            after = blocks[number + 1] if number + 1 < len(blocks) else ("", "")
            printed = after[1].splitlines() if after[0] in ("json", "text") else []
            found.append(Example(language, code, printed))
    return found


class Shell:
    """One bash in which everything is pasted: its variables stay. Close it."""

    def __init__(self, directory: Path, environment: dict[str, str]) -> None:
        self._directory = directory
        self._bash = subprocess.Popen(
            ["/bin/bash", "--norc"],
            cwd=directory,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def paste(self, code: str) -> str:
        """What it prints, on stdout and stderr."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        output = self._directory / "printed"
        text = f"eval {shlex.quote(code)} </dev/null >{shlex.quote(str(output))} 2>&1; echo done\n"
        self._bash.stdin.write(text)
        self._bash.stdin.flush()
        assert self._bash.stdout.readline() == "done\n"
        return output.read_text()

    def close(self) -> None:
        """End it. May be repeated."""
        for stream in (self._bash.stdin, self._bash.stdout):
            if stream is not None:
                stream.close()
        self._bash.kill()
        self._bash.wait()


def missing_from(printed: str, documented: Sequence[str]) -> str | None:
    """The first documented line that was not printed, in the order of the document; None when all
    are there. What differs from reader to reader (ids, times, sizes) may differ."""
    lines = [_form(line) for line in _BETWEEN_DOCUMENTS.sub("\n", printed).splitlines()]
    at = 0
    for line in documented:
        if not line.strip():
            continue
        wanted = _form(line)
        while at < len(lines) and not _fits(lines[at], wanted):
            at += 1
        if at == len(lines):
            return line
        at += 1
    return None


def _form(line: str) -> Any:
    prefix, _, rest = line.strip().partition("data: ")
    try:
        return json.loads(rest if not prefix and rest else line)
    except ValueError:
        return _VARIES.sub("0", line.strip())


def _fits(real: Any, wanted: Any, field: str = "") -> bool:
    """Whether a printed value has the documented form."""
    if isinstance(wanted, dict) and isinstance(real, dict):
        return wanted.keys() == real.keys() and all(
            _fits(real[name], wanted[name], name) for name in wanted
        )
    if isinstance(wanted, list) and isinstance(real, list):
        return all(any(_fits(one, other) for one in real) for other in wanted)
    if wanted is None or real is None:
        return True  # it depends on the moment
    if field in EXACT and isinstance(wanted, str) and "…" not in wanted:
        return _same_text(real, wanted)
    if isinstance(wanted, int | float) and isinstance(real, int | float):
        return field not in EXACT or real == wanted
    if isinstance(wanted, str) and isinstance(real, str):
        return bool(field) or real == wanted
    return type(real) is type(wanted)


def _same_text(real: Any, wanted: str) -> bool:
    """Of a command that was ended, more or less of the same output."""
    if not isinstance(real, str):
        return False
    short, long = sorted((_ID.sub("id", real), _ID.sub("id", wanted)), key=len)
    return short == long or (short.endswith("\n") and long.startswith(short))


def each_pasted(
    examples: Sequence[Example], paste: Callable[[Example], str | None]
) -> list[tuple[Example, str]]:
    """Paste all of them; those whose documented lines were not printed, with what was. `paste`
    gives None for one that it leaves out."""
    wrong = []
    for example in examples:
        printed = paste(example)
        if printed is not None and missing_from(printed, example.printed) is not None:
            wrong.append((example, printed))
    return wrong
