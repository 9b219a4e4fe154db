"""What each tool takes. Models write numbers as text at times, and null for what they leave out:
both is taken. Names that a tool does not have are refused, so that none is passed over in silence.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

LONGEST_WAIT_S = 45.0
"""Clients of the TypeScript SDK give a call up after 60 seconds, and so do many proxies."""

LEAST_CHARACTERS = 1000
MOST_CHARACTERS = 1_000_000

Wait = Annotated[float, Field(ge=0, le=LONGEST_WAIT_S)]
Characters = Annotated[int, Field(ge=LEAST_CHARACTERS, le=MOST_CHARACTERS)]
Count = Annotated[int, Field(ge=1, le=100_000)]


class Arguments(BaseModel):
    """Of a call."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_left_out(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        return {name: value for name, value in given.items() if value is not None}


class OfSandbox(Arguments):
    sandbox_id: str = Field(min_length=1, max_length=256)


class OfCommand(OfSandbox):
    request_id: str = Field(min_length=1, max_length=256)


class CreateSandbox(Arguments):
    snapshot: str | None = Field(None, description="start with its files")


class ListSandboxes(Arguments):
    limit: Count = 20
    offset: int = Field(0, ge=0, le=1_000_000)


class RunCommand(OfSandbox):
    command: str = Field(description="for bash -c")
    cwd: str | None = None
    stdin: str | None = Field(None, description="whole input")
    interactive: bool = Field(False, description="keep stdin open for write_stdin")
    session: str | None = Field(None, description="named shell that keeps cd and variables")
    timeout: float | None = Field(None, gt=0, description="kill after seconds")
    wait: Wait | None = Field(None, description="seconds to wait for the end")
    max_chars: Characters | None = None


class ReadOutput(OfCommand):
    stream: Literal["stdout", "stderr"] = "stdout"
    offset: int = Field(0, ge=0, lt=2**62)
    wait: Wait | None = Field(None, description="seconds to wait for more")
    max_chars: Characters | None = None


class WriteStdin(OfCommand):
    data: str = ""
    eof: bool = Field(False, description="close stdin")


class StopCommand(OfCommand):
    signal: str = Field("TERM", pattern="^(SIG)?[A-Z0-9+]{2,10}$", description="TERM, INT, KILL …")


class OfPath(OfSandbox):
    path: str = Field(min_length=1, max_length=4096, description="absolute or from home")


class ReadFile(OfPath):
    offset: int = Field(1, ge=1, lt=2**53, description="first line, from 1")
    limit: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(None, description="lines")
    max_chars: Characters | None = None


class WriteFile(OfPath):
    content: str


class EditFile(OfPath):
    old: str = Field(min_length=1, description="exact text")
    new: str
    all: bool = Field(False, description="every occurrence")


class ListFiles(OfSandbox):
    path: str = Field(".", min_length=1, max_length=4096)
    limit: Count = 200
    offset: int = Field(0, ge=0, le=1_000_000)


class PortUrl(OfSandbox):
    port: int = Field(ge=1, le=65535)


class Restore(OfSandbox):
    snapshot: str = Field(min_length=1, max_length=256)
