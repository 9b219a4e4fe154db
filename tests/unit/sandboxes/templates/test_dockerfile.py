"""What a Dockerfile needs from outside, and the marks on what is made by it."""

from __future__ import annotations

import io
import tarfile

import pytest

from gateway.errors import BadTemplate
from gateway.sandboxes.templates import context
from gateway.sandboxes.templates.dockerfile import read

MARK = "LABEL a=b"


@pytest.mark.parametrize(
    ("text", "bases"),
    [
        ("FROM debian", {"debian"}),
        (
            "# syntax=x\n\nfrom  debian:12  AS  Build\nFROM build\nCOPY --from=build /a /b",
            {"debian:12"},
        ),
        ("ARG BASE=one:2\nARG B='x'\nFROM ${BASE}\nFROM $B", {"one:2", "x"}),
        ("FROM scratch\nCOPY --chown=1 --from=other:1 /a /b\nCOPY --from=0 /c /d", {"other:1"}),
        ("FROM de\\\nbian\nRUN a \\\n\n# b\n  c\n", {"debian"}),
        ("FROM debian\nADD a.tar /x\nRUN echo http://x $Y", {"debian"}),
        ("FROM debian\nONBUILD COPY --from=late /a /b", {"debian", "late"}),
    ],
)
def test_its_bases_are_known(text: str, bases: set[str]) -> None:
    """Stages of its own are none; variables stand for what they are given before the first one."""
    for ends in (text, text + "\n", text.replace("\n", "\r\n"), "\ufeff" + text):
        assert read(ends.encode(), MARK).bases == bases


def test_each_stage_is_marked_and_nothing_else_is_changed() -> None:
    """So that all that the engine makes by it is found again."""
    text = "# first\nARG A=b\nFROM $A AS x\nRUN one \\\n  two\n\nFROM x\n# last\n"
    expected = (
        f"# first\nARG A=b\nFROM $A AS x\n{MARK}\nRUN one \\\n  two\n\nFROM x\n{MARK}\n# last\n"
    )
    assert read(text.encode(), MARK).text == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "RUN a",
        "FROM",
        "FROM $UNKNOWN",
        "FROM ${A:-b}",
        "FROM --platform=linux/arm64 debian",
        "FROM debian\nADD https://example.com/a /a",
        "FROM debian\nADD htt\\\nps://example.com/a /a",
        'FROM debian\nADD ["git@example.com:a.git", "/a"]',
        "FROM debian\nARG U\nadd $U /a",
        "FROM debian\nONBUILD ADD http://example.com /a",
        "FROM debian\nONBUILD FROM other",
        "FROM debian\nCOPY --from=$X /a /b",
        "# escape=`\nFROM debian",
        b"\xff",
        "FROM a\n" + "#" * 300_000,
    ],
)
def test_what_would_come_from_elsewhere_is_refused(text: str | bytes) -> None:
    """Or cannot be told."""
    with pytest.raises(BadTemplate):
        read(text if isinstance(text, bytes) else text.encode(), MARK)


def _tar(**files: bytes) -> io.BytesIO:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    packed.seek(0)
    return packed


def test_the_marked_file_is_the_contexts_last_entry() -> None:
    """It takes the place of the other one when the engine unpacks them; the rest stays."""
    packed = _tar(**{"a": b"x" * 1000, "./Dockerfile": b"FROM debian\n", "b": b""})
    assert context.prepared(packed, MARK, 10).bases == {"debian"}
    with tarfile.open(fileobj=packed) as archive:
        assert archive.getnames() == ["a", "./Dockerfile", "b", "Dockerfile"]
        marked = archive.extractfile("Dockerfile")
        assert marked is not None
        assert marked.read() == f"FROM debian\n{MARK}\n".encode()


@pytest.mark.parametrize(
    "packed",
    [
        io.BytesIO(b""),
        io.BytesIO(b"no archive at all" * 100),
        io.BytesIO(b"\x1f\x8b" + b"\0" * 600),
        io.BytesIO(_tar(Dockerfile=b"FROM debian\n" * 200).getvalue()[:1100]),
        _tar(**{"sub/Dockerfile": b"FROM debian\n"}),
        _tar(**{f"file-{n}": b"" for n in range(20)}),
    ],
)
def test_what_is_no_context_is_refused(packed: io.BytesIO) -> None:
    """Nothing, something else, compressed, broken off, without a Dockerfile, too many entries."""
    with pytest.raises(BadTemplate):
        context.prepared(packed, MARK, 10)
