"""Messages about code contexts: interpreters in a sandbox that keep their state."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints

from gateway.schemas.models.base import Answer, Request, Sliced, left_out_when_none
from gateway.schemas.models.commands import LONGEST_TIMEOUT_S, Text, Variables

ContextPath = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=4096)]


class ContextCreate(Request):
    """Body of `POST /sandboxes/{sandbox_id}/contexts`, where every field may be missing."""

    language: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        None,
        description="`python`, which is the default and all that there is.",
        examples=["python"],
    )
    cwd: ContextPath | None = Field(
        None,
        description="Where it begins, absolute or below the user's home, which is the default.",
        examples=["/tmp"],  # noqa: S108  (in the sandbox)
    )


class CodeContext(Answer):
    """An interpreter with its state."""

    context_id: str = Field(examples=["4f0c9a3e5b7d1f2a4f0c9a3e5b7d1f2a"])
    language: str = Field(examples=["python"])
    cwd: str = Field(description="Where it began.", examples=["/home/user"])


class CodeExecute(Request):
    """Body of `POST /sandboxes/{sandbox_id}/contexts/{context_id}/execute`."""

    code: str = Field(
        description="As in a cell of a notebook: the value of its last expression is a result, `!` "
        "begins a command of the shell, `%` a magic of IPython, and `await` may stand anywhere.",
        examples=["1 + 1"],
    )
    env: Annotated[Variables, Sliced] | None = Field(
        None,
        description="Environment variables for this execution; afterwards they are as before.",
        examples=[{"GREETING": "hello"}],
    )
    timeout: float | None = Field(
        None,
        gt=0,
        le=LONGEST_TIMEOUT_S,
        description="Seconds, what it waits for others included. Then it is interrupted, and "
        "`error` is a `TimeoutError`.",
        examples=[30.0],
    )


class CodeError(Answer):
    """What code has raised, or why it could not go on: `KernelDied`, `KernelEnded`."""

    name: str = Field(examples=["ZeroDivisionError"])
    value: str = Field(examples=["division by zero"])
    traceback: str = Field(description="Without colours.")


class CodeTruncated(Answer):
    """How much there was in all of what was cut off."""

    stdout_bytes: int
    stderr_bytes: int
    results: int


class ExecutionResult(Answer):
    """What came of an execution."""

    execution_count: int | None = Field(
        description="As the how many-th of its context it ran. null: it did not begin.",
        examples=[1],
    )
    stdout: str = Field(description="Of Python and of all that it started.")
    stderr: str
    results: list[dict[str, Any]] = Field(
        description="What was shown, by MIME type, in its order. Pictures are base64; "
        "`application/vnd.sandbox.data+json` has the columns of a data frame, "
        "`application/vnd.sandbox.chart+json` the numbers of a figure of matplotlib.",
        examples=[[{"text/plain": "2"}]],
    )
    error: CodeError | None
    truncated: CodeTruncated | None = Field(
        None,
        description="Only where something was cut off: beyond `SANDBOX_MAX_OUTPUT_MB` of stdout, "
        "of stderr, and of the results together.",
    )

    model_config = ConfigDict(json_schema_extra=left_out_when_none)


class ExecutionBegan(Answer):
    """It is the execution's turn in its context."""

    type: Literal["begin"]
    execution_count: int


class ExecutionOutput(Answer):
    """Something was written."""

    type: Literal["stdout", "stderr"]
    text: Text


class ExecutionShown(Answer):
    """Something was shown."""

    type: Literal["result"]
    is_main_result: bool = Field(description="The value of the last expression.")
    data: dict[str, Any] = Field(description="By MIME type.")


class ExecutionFailed(CodeError):
    """The code has raised something."""

    type: Literal["exception"]


class ExecutionEnded(Answer):
    """The last event."""

    type: Literal["end"]
