"""Files: what is at a path, and what is asked about paths."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from gateway.link.users import User
from gateway.schemas.models.base import Answer, Request, left_out_when_none

MOST_DEPTH = 256
MOST_ENTRIES = 10_000

_PATH = (
    "Absolute, or from the user's home on: up to 4,096 bytes. Where `path_b64` is given, it is not "
    "needed."
)
_PATH_B64 = "The bytes of a path that is not UTF-8, as base64 (also of the URL's alphabet)."
_USER = (
    "As whom: `user` or, in a sandbox made with `root`, `root`. Relative paths begin at that home."
)

Encoded = Annotated[str, StringConstraints(max_length=8 * 1024)]


class FileStat(Answer):
    """What is at a path. Links are not followed, but for what was read or written."""

    model_config = ConfigDict(json_schema_extra=left_out_when_none)

    path: str = Field(
        description="Absolute. Bytes that are no UTF-8 are U+FFFD; `path_b64` has them.",
        examples=["/home/user/notes.txt"],
    )
    name: str = Field(description="The last part of the path.", examples=["notes.txt"])
    type: Literal["file", "directory", "symlink", "other"] = Field(examples=["file"])
    size: int = Field(description="Bytes.", examples=[12])
    mode: str = Field(description="Permissions, octal.", examples=["0644"])
    owner: str = Field(examples=["user"])
    group: str = Field(examples=["user"])
    modified_at: float = Field(description="Epoch seconds.", examples=[1648371234.567])
    target: str | None = Field(None, description="Of a link.", examples=["/etc/hosts"])
    etag: str | None = Field(
        None, description="Of a file, as the header has it.", examples=['"2a-c-16e0f-16e0f"']
    )
    path_b64: str | None = Field(None, description=_PATH_B64, examples=["L3RtcC//"])


class UserQuery(Request):
    """Query of routes whose body has the paths."""

    user: User = Field("user", description=_USER, examples=["user"])


class PathQuery(Request):
    """Query of routes that take a path."""

    path: str | None = Field(None, description=_PATH, examples=["notes.txt"])
    path_b64: Encoded | None = Field(None, description=_PATH_B64, examples=["L3RtcC//"])
    user: User = Field("user", description=_USER, examples=["user"])


class WriteQuery(PathQuery):
    """Query of `PUT /sandboxes/{sandbox_id}/files`."""

    mode: Annotated[str, StringConstraints(pattern=r"^0?[0-7]{1,3}$")] | None = Field(
        None,
        description="Permissions, octal. Default: as before, or 0644 for a new file.",
        examples=["0755"],
    )

    @property
    def permissions(self) -> int | None:
        """As a number."""
        return None if self.mode is None else int(self.mode, 8)


class DeleteQuery(PathQuery):
    """Query of `DELETE /sandboxes/{sandbox_id}/files`."""

    recursive: bool = Field(
        False, description="A directory with all that is in it.", examples=[True]
    )


class ListQuery(PathQuery):
    """Query of `GET /sandboxes/{sandbox_id}/files/list`."""

    depth: int = Field(
        1,
        ge=1,
        le=MOST_DEPTH,
        description="1: what is in the directory itself; 2: what is in those below it, too.",
        examples=[1],
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=MOST_ENTRIES,
        description="Most entries in the answer; `Link` then leads to the next ones. Without it "
        "all are sent.",
        examples=[100],
    )
    after: str | None = Field(
        None, description="Path of the last entry that the client has.", examples=["/home/user/a"]
    )
    after_b64: Encoded | None = Field(
        None, description="Its bytes, as base64, where it is not UTF-8.", examples=["L3RtcC//"]
    )


class MakeDirectory(Request):
    """Body of `POST /sandboxes/{sandbox_id}/files/mkdir`."""

    path: str | None = Field(None, description=_PATH, examples=["src/lib"])
    path_b64: Encoded | None = Field(None, description=_PATH_B64, examples=["L3RtcC//"])
    parents: bool = Field(
        False,
        description="Missing directories above are made, and one that is there is no error.",
        examples=[True],
    )


class FromTo(Request):
    """Body of `POST /sandboxes/{sandbox_id}/files/move` and `…/copy`."""

    model_config = ConfigDict(populate_by_name=False)

    source: str | None = Field(None, alias="from", description=_PATH, examples=["notes.txt"])
    source_b64: Encoded | None = Field(None, alias="from_b64", description=_PATH_B64)
    target: str | None = Field(None, alias="to", description=_PATH, examples=["old/notes.txt"])
    target_b64: Encoded | None = Field(None, alias="to_b64", description=_PATH_B64)
    overwrite: bool = Field(
        False, description="Whether what is at `to` may be replaced.", examples=[False]
    )


class WatchQuery(PathQuery):
    """Query of `/ws/{sandbox_id}/watch` and `GET /sandboxes/{sandbox_id}/files/watch`."""

    recursive: bool = Field(
        False, description="What happens in directories below, too.", examples=[True]
    )


class Watching(Answer):
    """Text frame to the client, or event: the first one. What happens from now on is told."""

    type: Literal["watching"] = Field(examples=["watching"])


class FileEvent(Answer):
    """Text frame to the client, or event: something has happened to a file. Paths are absolute."""

    model_config = ConfigDict(json_schema_extra=left_out_when_none)

    type: Literal["file_event"] = Field(examples=["file_event"])
    event: Literal["created", "written", "removed", "renamed", "attributes"] = Field(
        description="`written` when whoever wrote it has closed it.", examples=["written"]
    )
    path: str = Field(examples=["/home/user/notes.txt"])
    to: str | None = Field(None, description="Of `renamed`.", examples=["/home/user/old.txt"])
    stat: FileStat | None = Field(None, description="As it is now, where it is still there.")
    path_b64: str | None = Field(None, description=_PATH_B64, examples=["L3RtcC//"])
    to_b64: str | None = Field(None, description=_PATH_B64, examples=["L3RtcC//"])


class Overflow(Answer):
    """Text frame to the client, or event: more has happened than could be told. List it anew."""

    type: Literal["overflow"] = Field(examples=["overflow"])
