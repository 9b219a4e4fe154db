"""The agent's list of commands, checked: it may say anything."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError

from gateway.errors import CommandLost
from gateway.models import CommandSummary


def summaries_of(event: dict[str, Any]) -> list[CommandSummary]:
    """The commands in an agent's answer to `list`. Raises CommandLost when it makes no sense."""
    listed = event.get("commands")
    if not isinstance(listed, list):
        raise CommandLost("the agent does not say what it runs")
    try:
        return [_summary(entry) for entry in listed]
    except (ValidationError, KeyError, TypeError) as error:
        raise CommandLost("the agent's list of commands makes no sense") from error


def _summary(entry: dict[str, Any]) -> CommandSummary:
    names = ("request_id", "command", "status", "pid", "started_at", "returncode", "session")
    return CommandSummary(
        **{name: entry[name] for name in names},
        stdout_bytes=entry["stdout"],
        stderr_bytes=entry["stderr"],
    )
