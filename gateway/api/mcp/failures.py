"""What a model reads when a tool cannot do what it was asked for: what is wrong, and what to do.

It is the answer of the tool, and no error of the protocol: those never reach the model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pydantic import ValidationError

from gateway import errors
from gateway.errors import GatewayError
from gateway.middleware import problem_documents

MOST_IDS = 10
"""Named in the place of one that does not exist."""

_LONGEST_ECHO = 64

_ADVICE: dict[type[GatewayError], str] = {
    errors.SandboxBusy: "Call again in a few seconds.",
    errors.TooManySandboxes: "Delete one with delete_sandbox first.",
    errors.TooManySnapshots: "No more snapshots can be taken now.",
    errors.TooManyCommands: "Stop some with stop_command, or wait for them.",
    errors.TooManyStreams: "Stop some with stop_command, or wait for them.",
    errors.CommandFinished: "It has ended: see its output with read_output.",
    errors.StdinNotOpen: "Start it with run_command and interactive true to write to it.",
    errors.BadOffset: "Read from next_offset of the answer before, or from 0.",
    errors.CommandLost: "Run it again; what it has done so far is not undone.",
    errors.FeatureMissing: "The sandbox's image cannot do that; it needs python3.",
    errors.SnapshotsMissing: "Sandboxes of this gateway cannot do that.",
    errors.SnapshotTooLarge: "Create a new sandbox from the snapshot instead.",
    errors.PathNotFound: "See what is there with list_files.",
    errors.IsDirectory: "It is a directory: use list_files.",
    errors.NotDirectory: "It is no directory: use read_file.",
    errors.NotAFile: "It is no regular file: use run_command.",
    errors.PermissionDenied: "Use a path below the home directory, or /tmp.",
    errors.Changed: "Another has written it meanwhile: read it again, then edit.",
    errors.NoSpace: "Remove something with run_command and rm.",
    errors.RateLimited: "Wait a moment and call again.",
    errors.CapacityExhausted: "The host is full: delete sandboxes, or call again later.",
    errors.GatewayFull: "Call again in a few seconds.",
    errors.TooMuchUnread: "Call again in a few seconds.",
    errors.HostFault: "It is not your fault: call again in a few seconds.",
    errors.SandboxFault: "Call again; if it lasts, create another sandbox.",
    errors.FileFault: "Call again; if it lasts, create another sandbox.",
}


class ToolFailed(Exception):
    """What the model is told. `status` is that of the same failure over REST."""

    def __init__(self, text: str, status: int = 422) -> None:
        super().__init__(text)
        self.status = status


def told(error: GatewayError) -> ToolFailed:
    """A failure in words. What only operators may read is left out."""
    advice = next((_ADVICE[c] for c in type(error).__mro__ if c in _ADVICE), "")
    said = _refused_fields(error) or problem_documents.public_detail(error)
    text = f"{said.rstrip('.')}. {advice}".rstrip()
    return ToolFailed(f"{text} [{error.code}]", problem_documents.status_of(type(error)))


def _refused_fields(error: GatewayError) -> str:
    refused = error.members.get("errors")
    if not isinstance(refused, list):
        return ""
    return "; ".join(f"{'.'.join(str(p) for p in one['loc'])}: {one['msg']}" for one in refused)


def wrong_arguments(tool: str, takes: Sequence[str], refusal: ValidationError) -> ToolFailed:
    """Arguments that a tool does not take, and which it does."""
    found = refusal.errors(include_url=False, include_context=False, include_input=False)[:5]
    wrong = "; ".join(
        f"{'.'.join(str(p)[:_LONGEST_ECHO] for p in one['loc']) or 'arguments'}: {one['msg']}"
        for one in found
    )
    return ToolFailed(f"Wrong arguments: {wrong}. {tool} takes: {', '.join(takes) or 'none'}.")


def no_sandbox(given: str, error: GatewayError, live: Callable[[], Sequence[str]]) -> ToolFailed:
    """There is no such sandbox: which there are."""
    said = f"There is no sandbox {given[:_LONGEST_ECHO]!r}"
    ended = error.members.get("ended")
    if isinstance(ended, dict):
        said = f"Sandbox {given[:_LONGEST_ECHO]} has ended ({ended.get('reason')})"
    there = _listed("Sandboxes that exist", live(), "There are none: call create_sandbox.")
    return ToolFailed(f"{said}. {there} [{error.code}]", 404)


def no_command(given: str, error: GatewayError, known: Callable[[], Sequence[str]]) -> ToolFailed:
    """There is no such command in the sandbox: which there are."""
    there = _listed("request_ids that exist", known(), "None is known: call run_command.")
    text = f"There is no command {given[:_LONGEST_ECHO]!r} in this sandbox. {there} [{error.code}]"
    return ToolFailed(text, 404)


def no_snapshot(given: str, error: GatewayError, kept: Callable[[], Sequence[str]]) -> ToolFailed:
    """There is no such snapshot: which there are."""
    there = _listed("Snapshots that exist", kept(), "There are none: call snapshot.")
    return ToolFailed(
        f"There is no snapshot {given[:_LONGEST_ECHO]!r}. {there} [{error.code}]", 404
    )


def _listed(what: str, ids: Sequence[str], none: str) -> str:
    return f"{what}: {', '.join(ids[:MOST_IDS])}." if ids else none
