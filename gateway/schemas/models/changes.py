"""What changed in a sandbox's file system."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict, Field

from gateway.schemas.models.base import Answer, Request, left_out_when_none
from gateway.schemas.models.snapshots import Word

Kind = Literal["added", "modified", "deleted"]


class ChangeCounts(Answer):
    """How many paths there are of each kind, also of those that are not named."""

    added: int = Field(ge=0, examples=[1])
    modified: int = Field(ge=0, examples=[0])
    deleted: int = Field(ge=0, examples=[0])


class NotUtf8(Answer):
    """A path that is not UTF-8."""

    kind: Kind = Field(description="The list that it stands in.", examples=["added"])
    index: int = Field(ge=0, description="Its place there, from 0 on.", examples=[0])
    path_b64: str = Field(description="Its bytes, as base64.", examples=["L3RtcC//"])


class Changes(Answer):
    """What was added, modified and deleted. Paths are absolute and sorted byte by byte; what is
    gone with a directory is not named beside it, and a renamed file is a deleted and an added
    one."""

    model_config = ConfigDict(json_schema_extra=left_out_when_none)

    added: list[str] = Field(
        description="Bytes that are no UTF-8 are U+FFFD; `not_utf8` has them.",
        examples=[["/home/user/new.txt"]],
    )
    modified: list[str] = Field(
        description="Content, owner, mode or attributes; of a directory, owner and mode only.",
        examples=[[]],
    )
    deleted: list[str] = Field(examples=[[]])
    counts: ChangeCounts
    truncated: bool = Field(
        description="Whether some are not named: of each kind 1,000 paths and 64 KiB are. In a "
        "tree of more than 100,000 entries, or 200 levels, the rest is not looked at, and not "
        "counted.",
        examples=[False],
    )
    not_utf8: list[NotUtf8] | None = Field(
        None, description="The bytes of paths that are not UTF-8, where there are such."
    )


class ChangesQuery(Request):
    """Query of `GET /sandboxes/{sandbox_id}/changes`."""

    since: Word | None = Field(
        None,
        description="Id or name of a snapshot of the same sandbox, or of one that its files came "
        "from. Default: against its image.",
        examples=["base"],
    )
