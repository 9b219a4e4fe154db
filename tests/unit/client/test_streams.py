"""Events, downloads and archives, in any pieces."""

from __future__ import annotations

import io
import os
import socket
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.client.api_error import ConnectionLost
from gateway.client.core.downloads import DownloadBegun, download
from gateway.client.core.event_stream import EventDecoder
from gateway.client.core.followed_events import follow_events, watch_files
from gateway.client.core.steps import Answer
from gateway.client.core.unpacking import unpack
from gateway.client.core.uploads import archive_of, body_of
from gateway.client.error_codes import Changed
from tests.unit.client.steps import LOST, Script, events, pieces

STREAM = b'event: a\nid: 1\ndata: {"x": 1}\n\n:\n\ndata: two\ndata: lines\n\nevent: c\ndata:\n\n'


@given(st.lists(st.integers(1, 20), min_size=1, max_size=40))
def test_events_come_out_of_any_pieces(sizes: list[int]) -> None:
    """A network cuts where it likes."""
    decoder, found, position = EventDecoder(), [], 0
    for size in [*sizes, len(STREAM)]:
        found += list(decoder.feed(STREAM[position : position + size]))
        position += size

    assert [(one.event, one.data, one.id) for one in found] == [
        ("a", b'{"x": 1}', "1"),
        ("message", b"two\nlines", "1"),
        ("c", b"", "1"),
    ]


def _part(data: bytes, size: int, etag: str = '"1"', status: int = 206) -> Answer:
    return Answer(status, {"content-length": str(size), "etag": etag})


def _bytes(told: list[Any]) -> bytes:
    return b"".join(one for one in told if isinstance(one, bytes))


def test_a_download_goes_on_where_it_broke() -> None:
    """By `Range`; an answer that ends too soon is no end."""
    script = Script(
        [
            *(_part(b"", 6, status=200), b"ab", LOST),
            *(_part(b"", 4), b"c", b""),
            *(_part(b"", 3), b"def", b""),
        ]
    )

    told = script.follow(download(script.retrying(), "s", "f"))

    assert told[0] == DownloadBegun(6, '"1"')
    assert _bytes(told) == b"abcdef"
    assert [request.headers.get("Range") for request in script.requests] == [
        None,
        "bytes=2-",
        "bytes=3-",
    ]


def test_another_file_is_not_taken_for_its_rest() -> None:
    """Two halves of two files would be one that never was."""
    script = Script([_part(b"", 6, status=200), b"ab", LOST, _part(b"", 4, etag='"2"')])
    with pytest.raises(Changed):
        script.follow(download(script.retrying(), "s", "f"))

    without_etag = Answer(200, {})
    script = Script([without_etag, b"ab", LOST])
    with pytest.raises(ConnectionLost):
        script.follow(download(script.retrying(), "s", "f"))


def test_events_go_on_after_the_last_one() -> None:
    """And end with their sandbox."""
    one, two, three = (
        {"type": "x", "id": n, "sandbox_id": "s", "at": 1.0, "event": name, "by": "me"}
        for n, name in ((1, "created"), (2, "paused"), (3, "ended"))
    )
    script = Script([Answer(200), events(one), LOST, Answer(200), events(two, three)])

    told = script.follow(follow_events(script.retrying(), "s"))

    assert [event.event for event in told] == ["created", "paused", "ended"]
    assert told[1].data["by"] == "me"
    assert script.requests[1].headers["Last-Event-ID"] == "1"


def test_a_watch_that_broke_says_that_something_may_be_missing() -> None:
    """There is no going on after it."""
    armed = {"type": "watching"}
    written = {"type": "file_event", "event": "written", "path": "/f", "new_field": 1}
    script = Script(
        [
            *(Answer(200), events(armed, written), LOST),
            *(Answer(200), events(armed), events({"type": "overflow"}, {"type": "ended"})),
        ]
    )

    told = script.follow(watch_files(script.retrying(), "s", ".", recursive=True))

    assert [event.event for event in told] == ["watching", "written", "overflow", "overflow"]


def test_a_directory_is_sent_as_tar_reads_it(tmp_path: Path) -> None:
    """With links, empty files, modes, long and foreign names; without sockets and FIFOs."""
    source = tmp_path / "source"
    (source / "deep" / ("d" * 120)).mkdir(parents=True)
    (source / "deep" / ("d" * 120) / "文件").write_bytes(b"x" * 1000)
    (source / "empty").touch()
    (source / "block").write_bytes(b"y" * 512)
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o750)
    (source / "link").symlink_to("run")
    (source / "dangling").symlink_to("/no/where")
    os.link(source / "run", source / "same")
    os.mkfifo(source / "fifo")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(source / "socket"))
    done: list[tuple[int, int | None]] = []

    body = archive_of(source, lambda *told: done.append(told))
    data = b"".join(body.chunks())
    assert data == b"".join(body.chunks())  # it can be sent again

    assert done[-1] == (len(data), None)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        names = archive.getnames()
        assert archive.getmember("run").mode == 0o750
    assert {"fifo", "socket"} & set(names) == set()
    target = tmp_path / "target"
    unpack(iter(pieces(data, 777)), target / "new")
    assert (target / "new" / "deep" / ("d" * 120) / "文件").read_bytes() == b"x" * 1000
    assert (target / "new" / "same").read_text() == "#!/bin/sh\n"
    assert os.readlink(target / "new" / "link") == "run"


@pytest.mark.parametrize(
    "member",
    [
        pytest.param({"name": "../out"}, id="above"),
        pytest.param({"name": "../link", "type": tarfile.SYMTYPE, "linkname": "x"}, id="link"),
        pytest.param({"name": "dev", "type": tarfile.CHRTYPE}, id="device"),
        pytest.param(
            {"name": "hard", "type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, id="hard"
        ),
    ],
)
def test_a_sandbox_cannot_write_beside_the_target(tmp_path: Path, member: dict[str, Any]) -> None:
    """What it sends is hostile: `sgw cp` runs on the user's own machine."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        info = tarfile.TarInfo(member.pop("name"))
        for name, value in member.items():
            setattr(info, name, value)
        archive.addfile(info)
    target = tmp_path / "a" / "b"

    with pytest.raises(tarfile.TarError):
        unpack(iter([held.getvalue()]), target)

    assert list(target.iterdir()) == []
    assert not (tmp_path / "a" / "out").exists()


@pytest.mark.parametrize("second", [tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.DIRTYPE])
def test_nothing_is_written_through_a_link_that_the_archive_made(
    tmp_path: Path, second: bytes
) -> None:
    """First a link to the outside, then a member below it."""
    held = io.BytesIO()
    outside = tmp_path / "outside"
    outside.mkdir()
    with tarfile.open(fileobj=held, mode="w") as archive:
        for name, kind, linked in (("a", tarfile.SYMTYPE, str(outside)), ("a/b", second, "x")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, linked
            archive.addfile(info)

    try:
        unpack(iter([held.getvalue()]), tmp_path / "target")
    except (tarfile.TarError, OSError):
        pass  # that is as good

    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("content", ["é", b"abc", io.BytesIO(b"__abc")])
def test_content_can_be_sent_again(content: Any) -> None:
    """From where an open file stood."""
    if isinstance(content, io.BytesIO):
        content.seek(2)
    body = body_of(content)

    first = b"".join(body.chunks())
    assert first == b"".join(body.chunks())
    assert body.size_bytes == len(first)
    assert not body.is_once
