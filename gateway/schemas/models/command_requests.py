"""What clients ask to be run: a text for the sandbox's shell, or a program and its arguments."""

from __future__ import annotations

import shlex
from typing import Annotated, Any

from pydantic import ConfigDict, Field, field_validator, model_validator

from gateway.schemas.models.commands import CommandOptions, Text

MOST_WORDS = 4096
"""Of a command line."""


def _needs_one_of_both(schema: dict[str, Any]) -> None:
    schema["required"] = [name for name in schema.get("required", []) if name != "command"]
    if not schema["required"]:
        del schema["required"]
    schema["oneOf"] = [{"required": ["command"]}, {"required": ["argv"]}]
    words = schema["properties"]["argv"]
    words |= words.pop("anyOf")[0]
    del words["default"]


class CommandRequest(CommandOptions):
    """Text frame from a client on `/ws/{sandbox_id}`: run a command."""

    model_config = ConfigDict(json_schema_extra=_needs_one_of_both)

    command: Text = Field(
        description="Run by the sandbox's shell, `/bin/bash -c` or else `/bin/sh -c`, each in "
        "a fresh shell.",
        examples=["ls -la"],
    )
    argv: Annotated[list[Text], Field(min_length=1, max_length=MOST_WORDS)] | None = Field(
        None,
        description="In the place of `command`: a program and its arguments, started without a "
        "shell. Answers show them as `command`, quoted as for one.",
        examples=[["ls", "-la"]],
    )
    stream: bool = Field(
        False, description="Send output as it is produced, then the result.", examples=[False]
    )

    @model_validator(mode="before")
    @classmethod
    def _is_shown_as_a_command(cls, asked: Any) -> Any:
        """Words alone have a text, too: lists and answers show it."""
        if not isinstance(asked, dict) or asked.get("argv") is None or "command" in asked:
            return asked
        return asked | {"command": _quoted(asked["argv"])}

    @field_validator("argv")
    @classmethod
    def _has_no_shell(cls, argv: list[str] | None, info: Any) -> list[str] | None:
        if argv is not None and info.data.get("command", "") != _quoted(argv):
            raise ValueError("either `command` or `argv`")
        if argv is not None and info.data.get("session") is not None:
            raise ValueError("a session has a shell, which takes a `command`")
        return argv


def _quoted(argv: Any) -> str:
    """Words as a shell would read them; nothing for what is none, which is refused as such."""
    are_words = isinstance(argv, list) and len(argv) <= MOST_WORDS
    are_words = are_words and all(isinstance(word, str) for word in argv)
    return shlex.join(argv).replace("\x00", "") if are_words else ""


class CommandRun(CommandRequest):
    """Body of `POST /sandboxes/{sandbox_id}/commands`."""

    background: bool = Field(
        False,
        description="Answer as soon as it runs; its state, output and result are asked for "
        "later. Over REST only.",
        examples=[False],
    )

    @field_validator("background")
    @classmethod
    def _excludes_a_stream(cls, background: bool, info: Any) -> bool:
        if background and info.data.get("stream"):
            raise ValueError("either `stream` or `background`")
        return background
