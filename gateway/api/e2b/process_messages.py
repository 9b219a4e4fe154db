"""Messages of `process.Process` that clients send (proto3's JSON)."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from gateway.api.e2b.rpc_errors import RpcError
from gateway.commands.command_name import Pid, Tag, Which

LONGEST_TAG = 1024

_MOST_SIDE = 0xFFFF
"""Of a terminal (ioctl_tty(2), struct winsize)."""

_DEFAULT_COLS, _DEFAULT_ROWS = 80, 24

_SIGNALS = {"SIGNAL_SIGKILL": "KILL", "SIGNAL_SIGTERM": "TERM", 9: "KILL", 15: "TERM"}
_URL_SAFE = str.maketrans("-_", "+/")


class Sent(BaseModel):
    """A message, of which unknown fields are passed over, and null stands for a missing one."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, sent: Any) -> Any:
        if not isinstance(sent, dict):
            return sent
        return {name: value for name, value in sent.items() if value is not None}


def _bytes_of(sent: Any) -> bytes:
    if not isinstance(sent, str):
        raise ValueError("has to be base64")
    text = sent.translate(_URL_SAFE).rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except binascii.Error as error:
        raise ValueError(f"is no base64: {error}") from None


Base64 = Annotated[bytes, BeforeValidator(_bytes_of)]
Side = Annotated[int, Field(ge=0, le=_MOST_SIDE)]


class Size(Sent):
    """0 × 0, also where nothing is said, stands for 80 × 24."""

    cols: Side = 0
    rows: Side = 0

    @property
    def sides(self) -> tuple[int, int]:
        return self.cols or _DEFAULT_COLS, self.rows or _DEFAULT_ROWS


class Pty(Sent):
    size: Size = Size()


class Config(Sent):
    cmd: str = ""
    args: list[str] = Field(default_factory=list)
    envs: dict[str, str] = Field(default_factory=dict)
    cwd: str = ""


class Start(Sent):
    """`stdin` missing means true: clients from before that field rely on it."""

    process: Config = Config()
    pty: Pty | None = None
    tag: Annotated[str, Field(max_length=LONGEST_TAG)] | None = None
    stdin: bool = True


class Selector(Sent):
    pid: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    tag: Annotated[str, Field(max_length=LONGEST_TAG)] | None = None

    @property
    def which(self) -> Which:
        """Raises RpcError."""
        if self.pid is not None:
            return Pid(self.pid)
        if self.tag is not None:
            return Tag(self.tag)
        raise RpcError("invalid_argument", "the message names no process")


class OfProcess(Sent):
    process: Selector = Selector()

    @property
    def which(self) -> Which:
        """Raises RpcError."""
        return self.process.which


class Input(Sent):
    stdin: Base64 | None = None
    pty: Base64 | None = None

    @property
    def data(self) -> tuple[bytes, bool]:
        """What is written, and whether it is for a terminal. Raises RpcError."""
        if self.pty is not None:
            return self.pty, True
        if self.stdin is not None:
            return self.stdin, False
        raise RpcError("invalid_argument", "the message has no input")


class SendInput(OfProcess):
    input: Input = Input()


class Update(OfProcess):
    pty: Pty | None = None


class SendSignal(OfProcess):
    signal: str | int = 0

    @property
    def name(self) -> str:
        """Raises RpcError."""
        found = _SIGNALS.get(self.signal)
        if found is None:
            raise RpcError("invalid_argument", f"no signal {self.signal!r:.100}")
        return found


class StreamedData(Sent):
    input: Input = Input()


class StreamedInput(Sent):
    start: OfProcess | None = None
    data: StreamedData | None = None
    keepalive: dict[str, Any] | None = None


Kind = TypeVar("Kind", bound=Sent)


def read(kind: type[Kind], message: dict[str, Any]) -> Kind:
    """A message of this kind. Raises RpcError."""
    try:
        return kind.model_validate(message)
    except ValidationError as refusal:
        first = refusal.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:100]
        raise RpcError("invalid_argument", f"{where}: {first['msg']}"[:300]) from None
