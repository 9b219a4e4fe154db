"""Messages about snapshots, forks and restores."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, field_validator

from gateway.schemas.models.base import Answer, Request, left_out_when_none
from gateway.schemas.models.labels import LabelFilters, Labels, by_name, checked
from gateway.schemas.models.sandboxes import (
    ID_OR_NAME_PATTERN,
    OwnName,
    SandboxCreate,
)
from gateway.schemas.models.service import Problem
from gateway.schemas.models.tokens import EXAMPLE

_ID = "0c9a3e5b7d1f4c62a8e0b4d6f8123456"

MOST_FORKS = 64

Word = Annotated[str, StringConstraints(pattern=ID_OR_NAME_PATTERN)]


class SnapshotCreate(Request):
    """Body of `POST /sandboxes/{sandbox_id}/snapshots`. It may be empty."""

    name: OwnName | None = Field(
        None,
        description="A name of its own, usable wherever its id is, until it is deleted: 1 to 63 of "
        "`a-z`, `0-9` and `-`, no `-` at the beginning, and not 32 hexadecimal digits. Another "
        "snapshot of the same owner must not have it.",
        examples=["base"],
    )
    labels: Labels = Field({}, description="To find it again by.", examples=[{"team": "blue"}])

    @field_validator("labels")
    @classmethod
    def _labels_are_not_reserved_and_fit(cls, labels: dict[str, str]) -> dict[str, str]:
        return checked(labels)


class Snapshot(Answer):
    """A snapshot of a sandbox's files."""

    snapshot_id: str = Field(examples=[_ID])
    sandbox_id: str = Field(
        description="The sandbox whose files they were. It may have ended since.",
        examples=["5f0c6d0f6b0e4f6e9a1d2c3b4a596877"],
    )
    name: str | None = Field(description="Null: it was given none.", examples=["base"])
    created_at: float = Field(description="Seconds since the epoch.", examples=[1648371234.567])
    size_bytes: int = Field(
        description="That it takes on the host's disk; where copies share what is the same in "
        "both, shared bytes count too.",
        examples=[1482752],
    )
    image: str = Field(
        description="What its sandbox was made from.", examples=["sandbox-websocket-image"]
    )
    disk_mb: int = Field(
        description="What a sandbox made from it may write, at least; MiB.", examples=[8192]
    )
    kind: Literal["kept", "checkpoint"] = Field(
        description="`kept`: until it is deleted. `checkpoint`: taken before a command; the oldest "
        "go when their owner's limits need the room.",
        examples=["kept"],
    )
    losses: list[Literal["user_xattrs", "sockets", "whiteout_names", "holes"]] = Field(
        description="What of the files it does not have. Empty where the sandbox had a disk of its "
        "own. Elsewhere it is an image of the container's: without users' extended attributes "
        "(`user_xattrs`), without `sockets`, without names that begin with `.wh.` "
        "(`whiteout_names`), and with zeros in the place of `holes`.",
        examples=[[]],
    )
    labels: dict[str, str] = Field(examples=[{"team": "blue"}])


class SnapshotQuery(Request):
    """Query of `GET /snapshots`."""

    label: LabelFilters | None = Field(
        None,
        description="`name=value`; given several times, all of them must fit.",
        examples=[["team=blue"]],
    )
    sandbox_id: Word | None = Field(
        None,
        description="Only those of one sandbox: its id, or its name while it lives.",
        examples=["5f0c6d0f6b0e4f6e9a1d2c3b4a596877"],
    )
    limit: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Most snapshots in the answer; `Link` then leads to the next ones.",
        examples=[100],
    )
    after: Word | None = Field(
        None, description="Id or name of the last snapshot that the client has.", examples=[_ID]
    )

    @property
    def labels(self) -> dict[str, str]:
        """By name."""
        return by_name(self.label)


class RestoreRequest(Request):
    """Body of `POST /sandboxes/{sandbox_id}/restore`."""

    snapshot: Word = Field(
        description="Id or name of a snapshot of the same owner, whose sandbox was made from the "
        "same image.",
        examples=["base"],
    )


class ForkRequest(SandboxCreate):
    """Body of `POST /sandboxes/{sandbox_id}/fork`: the fields of a create but `image` and
    `snapshot`, which follow from the sandbox. Where nothing is said, the copies have the limits,
    the network, `root` and the idle times of the sandbox. It may be empty."""

    count: int = Field(1, ge=1, le=MOST_FORKS, description="How many copies.", examples=[2])
    image: None = Field(None, description="That of the sandbox.")
    snapshot: None = Field(None, description="It is taken for the fork.")

    def create(self) -> SandboxCreate:
        """What one copy is asked for with; fields that were not said stay unsaid."""
        said: dict[str, Any] = {
            name: getattr(self, name) for name in self.model_fields_set if name != "count"
        }
        return SandboxCreate.model_construct(_fields_set=set(said), **said)


class Forked(Answer):
    """One of a fork's copies: as the answer of a create, or why there is none."""

    model_config = ConfigDict(json_schema_extra=left_out_when_none)

    sandbox_id: str | None = Field(None, examples=["5f0c6d0f6b0e4f6e9a1d2c3b4a596877"])
    status: Literal["created"] | None = Field(None, examples=["created"])
    message: str | None = Field(None, examples=["Sandbox container created successfully"])
    access_token: str | None = Field(
        None, description="Only where API keys are configured.", examples=[EXAMPLE]
    )
    error: Problem | None = Field(
        None, description="Why this one could not be made; then nothing else is said."
    )
