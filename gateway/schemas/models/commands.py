"""What clients ask for: commands, and what is done to them while they run."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, field_validator, model_validator

from gateway.link.users import User
from gateway.schemas.models.base import Request, Sliced

RequestId = Annotated[str, StringConstraints(max_length=256)]
Columns = Annotated[int, Field(ge=1, le=1000)]
Offset = Annotated[int, Field(ge=0, lt=2**63)]

MAX_RESULT_BYTES = 16 * 1024 * 1024
LONGEST_TIMEOUT_S = 366 * 86400.0

_NO_NUL = r"^[^\x00]*$"
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"

Text = Annotated[str, StringConstraints(pattern=_NO_NUL)]
Variables = dict[Annotated[str, StringConstraints(pattern=_VARIABLE)], Text]


DEFAULT_COLS, DEFAULT_ROWS = 80, 24


class Sized(Request):
    """A request with the size of a terminal."""

    @model_validator(mode="before")
    @classmethod
    def _has_a_size(cls, asked: Any) -> Any:
        """A pipe and a terminal that nobody is at say that they have 0 × 0 (ioctl_tty(2),
        TIOCGWINSZ): programs pass that on."""
        if isinstance(asked, dict) and all(_is_zero(asked.get(side)) for side in ("cols", "rows")):
            return asked | {"cols": DEFAULT_COLS, "rows": DEFAULT_ROWS}
        return asked


def _is_zero(given: Any) -> bool:
    return given in ("0", 0) and not isinstance(given, bool | float)


class TerminalSize(Sized):
    """Columns and rows of a terminal. 0 × 0 stands for 80 × 24."""

    cols: Columns = Field(DEFAULT_COLS, description="Width in characters.", examples=[80])
    rows: Columns = Field(DEFAULT_ROWS, description="Height in lines.", examples=[24])


def _is_base64(text: str, name: str) -> None:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"{name}: {error}") from None


class CommandOptions(Request):
    """What a command may be given besides itself."""

    user: User = Field(
        "user",
        description="Whom it runs as: `user` or, in a sandbox made with `root`, `root`.",
        examples=["user"],
    )
    request_id: RequestId | None = Field(
        None,
        description="Names the command, and comes back with the answer: up to 256 characters. "
        "A UUID4 is generated when it is missing.",
        examples=["optional-unique-id"],
    )
    timeout: float | None = Field(
        None,
        gt=0,
        le=LONGEST_TIMEOUT_S,
        description="Seconds. Then TERM to the whole process tree, KILL two seconds later; "
        'the result has return code 124 and `"timed_out": true`.',
        examples=[30.0],
    )
    cwd: Annotated[str, StringConstraints(pattern=_NO_NUL, max_length=4096)] | None = Field(
        None,
        description="Working directory, absolute or below the user's home, which is the default.",
        examples=["/tmp"],  # noqa: S108  (in the sandbox)
    )
    env: Annotated[Variables, Sliced] | None = Field(
        None,
        description="Extra environment variables, as an object.",
        examples=[{"GREETING": "hello"}],
    )
    stdin: str | None = Field(
        None,
        description="Text for standard input, then its end. Without it standard input is empty.",
        examples=["text\n"],
    )
    stdin_encoding: Literal["utf-8", "base64"] = Field(
        "utf-8", description="How `stdin` is written. `encoding` is that of the output."
    )
    interactive: bool = Field(
        False, description="Standard input stays open for `stdin` messages.", examples=[False]
    )
    tty: TerminalSize | None = Field(
        None,
        description='Run on a pseudo-terminal, as `{"cols": 80, "rows": 24}`: standard error '
        "merges into standard output, and input is open.",
    )
    session: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = Field(
        None,
        description="Name of a stateful shell: directory, variables and functions persist between "
        "its commands, which run one after the other.",
        examples=["main"],
    )
    encoding: Literal["utf-8", "base64"] = Field(
        "utf-8",
        description="How output is written in messages. `utf-8`: a character is never split, "
        "bytes that are none become U+FFFD. `base64`: byte-exact.",
    )
    max_output_bytes: int | None = Field(
        None,
        ge=0,
        le=MAX_RESULT_BYTES,
        description="Cap of `output` and of `error` in the result, in bytes each, at most 16 "
        "MiB: head and tail are kept. Default: `SANDBOX_MAX_OUTPUT_MB`.",
        examples=[65536],
    )
    once: bool = Field(
        False,
        description="`request_id` is an idempotency key: sent again, the command never runs "
        "twice; the answer is that of the first.",
    )

    checkpoint: bool = Field(
        False,
        description="A snapshot is taken before the command starts, and named in the result: "
        "`POST …/restore` undoes the command. When it cannot be taken, the command does not run.",
        examples=[False],
    )
    changes: bool = Field(
        False,
        description="The result lists what the file system gained and lost between start and end "
        "of the command, whoever changed it.",
        examples=[False],
    )

    @field_validator("once")
    @classmethod
    def _needs_an_id(cls, once: bool, info: Any) -> bool:
        if once and not info.data.get("request_id"):
            raise ValueError("`once` needs a request_id")
        return once

    @field_validator("stdin_encoding")
    @classmethod
    def _is_that_of_stdin(cls, encoding: str, info: Any) -> str:
        if encoding == "base64" and info.data.get("stdin") is not None:
            _is_base64(info.data["stdin"], "stdin")
        return encoding

    @field_validator("session")
    @classmethod
    def _excludes_a_terminal(cls, session: str | None, info: Any) -> str | None:
        if session is not None and info.data.get("tty") is not None:
            raise ValueError("a session has no terminal")
        return session

    @property
    def input(self) -> bytes | None:
        """What is written to stdin at the start; None: there is none."""
        if self.stdin is None:
            return None
        packed = self.stdin_encoding == "base64"
        return base64.b64decode(self.stdin) if packed else self.stdin.encode()


class CommandInput(Request):
    """Input for a running command that was started with `interactive` or on a terminal."""

    data: str = Field("", description="What is written to its standard input.", examples=["yes\n"])
    eof: bool = Field(False, description="This is the end of the input.")
    encoding: Literal["utf-8", "base64"] = Field("utf-8", description="How `data` is written.")

    @field_validator("encoding")
    @classmethod
    def _is_that_of_the_data(cls, encoding: str, info: Any) -> str:
        if encoding == "base64":
            _is_base64(info.data.get("data", ""), "data")
        return encoding

    @property
    def content(self) -> bytes:
        """What is written to the command's stdin."""
        return base64.b64decode(self.data) if self.encoding == "base64" else self.data.encode()


class CommandSignal(Request):
    """A signal for a running command's whole process tree."""

    signal: Annotated[str, StringConstraints(pattern="^(SIG)?[A-Z0-9+]{2,10}$")] = Field(
        description="Its name, with or without `SIG`: `INT`, `TERM`, `KILL`, `USR1`.",
        examples=["INT"],
    )
