"""Messages about sandboxes."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationInfo,
    field_validator,
)

from gateway.schemas.models.base import (
    Answer,
    Request,
    Sliced,
    left_out_when_none,
    without_defaults,
)
from gateway.schemas.models.labels import NO_OTHER_NAMES, Labels, checked
from gateway.schemas.models.tokens import EXAMPLE

SANDBOX_ID_PATTERN = "^[a-z0-9]{1,64}$"

NAME_PATTERN = "^[a-z0-9][a-z0-9-]{0,62}$"
LOOKS_LIKE_AN_ID = re.compile("[0-9a-f]{32}")
"""What ids are made of: no name may be taken for one."""

ID_OR_NAME_PATTERN = "^[a-z0-9][a-z0-9-]{0,63}$"
"""What stands where a sandbox is meant."""

RESERVED_VARIABLES = ("AGENT_COMMAND_ID",)
RESERVED_VARIABLES_PREFIX = "AGENT_ENV_"
"""What the gateway itself writes; clients may not."""

MOST_VARIABLES = 256
MOST_VARIABLE_CHARACTERS = 64 * 1024

SandboxStatus = Literal["starting", "idle", "connected", "paused"]
IdleAction = Literal["delete", "pause"]
TimeoutAction = Literal["delete", "pause"]
Network = Literal["bridge", "none"]
Isolation = Literal["standard", "strict", "gvisor"]


def _no_id(name: str) -> str:
    if LOOKS_LIKE_AN_ID.fullmatch(name):
        raise ValueError("32 hexadecimal digits are an id")
    return name


OwnName = Annotated[str, StringConstraints(pattern=NAME_PATTERN), AfterValidator(_no_id)]
"""What a client calls something that has an id as well."""

Variable = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
Value = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$")]
Seconds = Annotated[float, Field(ge=1, le=366 * 86400)]


class SandboxCreate(Request):
    """Body of `POST /sandboxes`. It may be empty. Values beyond what the operator allows are
    refused."""

    name: OwnName | None = Field(
        None,
        description="A name of its own, usable wherever its id is, until it has ended: 1 to 63 of "
        "`a-z`, `0-9` and `-`, no `-` at the beginning, and not 32 hexadecimal digits, as ids are. "
        "Another live sandbox of the same owner must not have it.",
        examples=["build-7"],
    )
    image: Annotated[str, StringConstraints(min_length=1, max_length=255)] | None = Field(
        None,
        description="One of those that the operator allows (`SANDBOX_IMAGES`), or a template. "
        "Default: `SANDBOX_IMAGE`.",
        examples=["sandbox-websocket-image"],
    )
    cpus: float | None = Field(
        None,
        ge=0.05,
        le=1024,
        description="CPU cores it may use, for example 0.5. Default: `SANDBOX_CPUS`.",
        examples=[0.5],
    )
    memory_mb: int | None = Field(
        None,
        ge=32,
        le=1048576,
        description="Memory in MiB, swap included. Default: `SANDBOX_MEMORY_MB`.",
        examples=[512],
    )
    pids: int | None = Field(
        None,
        ge=16,
        le=1048576,
        description="Processes and threads. Default: `SANDBOX_PIDS`.",
        examples=[256],
    )
    disk_mb: int | None = Field(
        None,
        ge=16,
        le=104857600,
        description="What it may write, in MiB: held by the kernel where it can be, else a "
        "sandbox that wrote more ends. Default: `SANDBOX_DISK_MB`.",
        examples=[2048],
    )
    env: Annotated[
        dict[Variable, Value],
        Sliced,
        Field(max_length=MOST_VARIABLES, json_schema_extra=NO_OTHER_NAMES),
    ] = Field(
        {},
        description="Environment of every command, as an object: at most 256 variables and "
        "65,536 characters. `PATH` and `HOME` are taken as they are; commands "
        "start in the user's own home in any case.",
        examples=[{"STAGE": "test"}],
    )
    labels: Labels = Field(
        {},
        description="To find it again by, as an object: at most 64. They are not seen inside.",
        examples=[{"team": "blue"}],
    )
    timeout: Seconds | None = Field(
        None,
        description="Seconds after which it ends, whatever happens in it. Default: "
        "`SANDBOX_TIMEOUT`.",
        examples=[7200.0],
    )
    timeout_action: TimeoutAction = Field(
        "delete",
        description="What happens to it when its `timeout` is over: `delete`, or `pause`. One that "
        "was paused has no end until it is resumed; then its `timeout` begins anew.",
        examples=["delete"],
    )
    idle_timeout: Seconds | None = Field(
        None,
        description="Seconds without client and command until `idle_action`. Default: "
        "`SANDBOX_IDLE_TIMEOUT`, an hour.",
        examples=[600.0],
    )
    idle_action: IdleAction = Field(
        "delete",
        description="What happens to it when it has been idle for so long: `delete`, or `pause`.",
    )
    network: Network | None = Field(
        None,
        description="`bridge`, or `none`: nothing but its own loopback. Default: "
        "`SANDBOX_NETWORK`.",
        examples=["none"],
    )
    isolation: Isolation | None = Field(
        None,
        description="`standard`: writable root file system. `strict`: read-only root, sized "
        "writable places in memory, no network. `gvisor`: a kernel of its own, "
        "where installed. Default: `SANDBOX_ISOLATION`.",
        examples=["standard"],
    )
    root: bool = Field(
        False,
        description="Whether `root` may be the `user` of commands, terminals and files, and `sudo` "
        "works inside. Only where the operator allows it (`SANDBOX_ALLOW_ROOT`).",
        examples=[False],
    )

    snapshot: Annotated[str, StringConstraints(pattern=ID_OR_NAME_PATTERN)] | None = Field(
        None,
        description="Id or name of a snapshot of the same owner, or of one that the operator has "
        "promoted (`SANDBOX_POOL_IMAGES`): the sandbox begins with its files. `image` follows from "
        "it, and `disk_mb` is at least the snapshot's. Default: the files of the image.",
        examples=["base"],
    )

    @field_validator("labels")
    @classmethod
    def _labels_are_not_reserved_and_fit(cls, labels: dict[str, str]) -> dict[str, str]:
        return checked(labels)

    @field_validator("env")
    @classmethod
    def _env_is_not_reserved_and_fits(cls, env: dict[str, str]) -> dict[str, str]:
        for name in RESERVED_VARIABLES:
            if name in env:
                raise ValueError(f"the variable {name} is the gateway's own")
        if any(name.startswith(RESERVED_VARIABLES_PREFIX) for name in env):
            raise ValueError(
                f"variables that begin with {RESERVED_VARIABLES_PREFIX} are the gateway's own"
            )
        if sum(len(name) + len(value) for name, value in env.items()) > MOST_VARIABLE_CHARACTERS:
            raise ValueError(f"more than {MOST_VARIABLE_CHARACTERS} characters")
        return env

    @field_validator("isolation")
    @classmethod
    def _strict_has_no_network(cls, level: str | None, info: ValidationInfo) -> str | None:
        if level == "strict" and info.data.get("network") == "bridge":
            raise ValueError("`strict` has no network")
        return level


class SandboxCreateInside(SandboxCreate):
    """What a surface with words of its own makes of them. Nobody sends this."""

    notes: dict[str, Any] = Field(default_factory=dict)
    """What that surface keeps with the sandbox, to be found in the view of it."""
    max_idle_timeout_counts: bool = True
    """Whether `idle_timeout` is one of those that the operator bounds. Where it is not, the
    lifetime bounds the sandbox."""


class SandboxChange(Request):
    """Body of `PATCH /sandboxes/{sandbox_id}`: what is not named stays as it is.

    The defaults stand for nothing; `given` says what was named.
    """

    model_config = ConfigDict(json_schema_extra=without_defaults)

    timeout: Seconds | None = Field(
        None,
        description="Lifetime in seconds, counted from its creation; null: that of sandboxes "
        "that ask for none (`SANDBOX_TIMEOUT`).",
        examples=[7200.0],
    )
    idle_timeout: Seconds = Field(
        1.0, description="Seconds without client and command.", examples=[600.0]
    )
    labels: Labels = Field(
        {}, description="In the place of the present ones.", examples=[{"team": "red"}]
    )

    @field_validator("labels")
    @classmethod
    def _labels_are_not_reserved_and_fit(cls, labels: dict[str, str]) -> dict[str, str]:
        return checked(labels)


class SandboxCreated(Answer):
    """A new sandbox, ready to be used."""

    model_config = ConfigDict(json_schema_extra=left_out_when_none)

    sandbox_id: str = Field(
        description="Random, 128 bits, only `[a-z0-9]`. Whoever knows it may use the sandbox.",
        examples=["5f0c6d0f6b0e4f6e9a1d2c3b4a596877"],
    )
    status: Literal["created"] = Field(examples=["created"])
    message: str = Field(
        description="Localised by `Accept-Language`: English, Italian or Chinese.",
        examples=["Sandbox container created successfully"],
    )
    access_token: str | None = Field(
        None,
        description="Opens this sandbox and nothing else. Only where API keys are configured.",
        examples=[EXAMPLE],
    )


class Sandbox(Answer):
    """A sandbox as it is now."""

    sandbox_id: str = Field(examples=["5f0c6d0f6b0e4f6e9a1d2c3b4a596877"])
    status: SandboxStatus = Field(
        description="`idle`: no client connected and nothing running. `connected`: at least one "
        "WebSocket client, or a command that outlived its client. `starting`: being created. "
        "`paused`: paused; connecting or running a command resumes it.",
        examples=["idle"],
    )
    created_at: float = Field(description="Seconds since the epoch.", examples=[1648371234.567])
    ip_address: str | None = Field(
        description="Address in the sandbox's network; null without one.", examples=["172.18.0.2"]
    )
    name: str | None = Field(None, description="Null: it was given none.", examples=["build-7"])
    image: str = Field(description="What it was made from.", examples=["sandbox-websocket-image"])
    isolation: Isolation = Field(examples=["standard"])
    network: Network = Field(examples=["bridge"])
    root: bool = Field(description="Whether there is `root` in it.", examples=[False])
    cpus: float = Field(description="CPU cores.", examples=[1.0])
    memory_mb: int = Field(description="MiB.", examples=[1024])
    pids: int = Field(examples=[512])
    disk_mb: int | None = Field(description="MiB; null: not limited.", examples=[None])
    labels: dict[str, str] = Field(examples=[{"team": "blue"}])
    timeout: float | None = Field(
        description="Lifetime in seconds; null: without end.", examples=[None]
    )
    expires_at: float | None = Field(
        description="When its lifetime is over, in seconds since the epoch.", examples=[None]
    )
    timeout_action: TimeoutAction = Field(examples=["delete"])
    idle_timeout: float = Field(examples=[3600.0])
    idle_action: IdleAction = Field(examples=["delete"])


class Deleted(Answer):
    """Answer of `DELETE /sandboxes/{sandbox_id}`."""

    message: str = Field(examples=["Sandbox 5f0c6d0f6b0e4f6e9a1d2c3b4a596877 deleted successfully"])


def given(change: SandboxChange) -> dict[str, Any]:
    """The fields that a client named."""
    return {name: getattr(change, name) for name in change.model_fields_set}
