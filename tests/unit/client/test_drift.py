"""The client against the gateway's own description of itself."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

import gateway
from gateway import client
from gateway.client.api_error import ApiError
from gateway.client.core.command_calls import CommandOptions
from gateway.client.core.sandbox_calls import SandboxOptions
from gateway.client.error_codes import BY_CODE
from gateway.client.models import commands, files, ports, sandboxes, snapshots
from gateway.client.models.answer import Answer
from gateway.schemas import models
from scripts.lib import client_error_classes, reference_tables
from tests.support.gateway_process import ROOT


@cache
def _schemas() -> dict[str, Any]:
    found: dict[str, Any] = reference_tables.of_this_gateway().document["components"]["schemas"]
    return found


@pytest.mark.parametrize(
    ("schema", "described"),
    [
        ("Sandbox", sandboxes.SandboxInfo),
        ("SandboxCreated", sandboxes.CreatedSandbox),
        ("Ended", sandboxes.Ended),
        ("LastCommand", sandboxes.LastCommand),
        ("SandboxStats", sandboxes.SandboxStats),
        ("CpuUsage", sandboxes.CpuUsage),
        ("NetworkUsage", sandboxes.NetworkUsage),
        ("Amount", sandboxes.Amount),
        ("TokenIssued", sandboxes.AccessToken),
        ("CommandSummary", commands.CommandInfo),
        ("Changes", commands.Changes),
        ("ChangeCounts", commands.ChangeCounts),
        ("NotUtf8", commands.NotUtf8),
        ("FileStat", files.FileStat),
        ("Snapshot", snapshots.Snapshot),
        ("ListeningPort", ports.ListeningPort),
        ("PortProcess", ports.PortProcess),
        ("PortToken", ports.PortAddress),
    ],
)
def test_a_dataclass_has_the_fields_of_its_schema(schema: str, described: type[Any]) -> None:
    """A field that the gateway gains is one that the client shows."""
    fields = {field.name for field in dataclasses.fields(described)}

    assert fields == set(_schemas()[schema]["properties"])


def test_the_result_of_a_command_has_all_that_the_gateway_says() -> None:
    """Under its own names; how output is cut, the client says itself."""
    fields = {field.name for field in dataclasses.fields(commands.CommandResult)}
    said = set(_schemas()["CommandResult"]["properties"])

    assert said - fields == {"success", "output", "error", "type", "truncated"}
    assert all(hasattr(commands.CommandResult, name) for name in ("success", "output", "error"))


def test_a_sandbox_can_be_asked_for_with_everything() -> None:
    """What the gateway takes and the client does not name cannot be typed."""
    taken = set(_schemas()["SandboxCreate"]["properties"])

    assert taken == set(SandboxOptions.__annotations__)


def test_a_command_can_be_given_everything() -> None:
    """But for what the client decides itself."""
    taken = set(_schemas()["CommandRun"]["properties"])
    decided = {"command", "argv", "stream", "background", "once", "encoding"}
    decided |= {"stdin_encoding", "max_output_bytes"}

    assert taken - decided <= set(CommandOptions.__annotations__)
    assert set(CommandOptions.__annotations__) - taken <= {"user"}


def test_each_code_has_its_class() -> None:
    """`scripts/client_errors` writes them."""
    codes = set(reference_tables.of_this_gateway().meanings)
    found = (ROOT / "gateway" / "client" / "error_codes.py").read_text(encoding="utf-8")

    assert codes - {"bad_settings", "internal_error"} <= BY_CODE.keys()
    assert found == client_error_classes.text_of_the_module()
    assert all(issubclass(kind, ApiError) for kind in BY_CODE.values())


def test_fields_that_are_unknown_or_missing_do_no_harm() -> None:
    """Of a gateway that is newer or older."""
    found = sandboxes.SandboxInfo.from_json(
        {"sandbox_id": "a", "status": "idle", "created_at": 1.0, "invented": {"x": 1}}
    )
    assert (found.sandbox_id, found.labels, found.name) == ("a", {}, None)

    stats = sandboxes.SandboxStats.from_json({"cpu": {"cores": 1, "more": 2}, "disk_bytes": None})
    assert (stats.cpu.cores, stats.memory_bytes, stats.disk_bytes) == (1, None, None)


def test_what_is_read_is_what_the_model_writes() -> None:
    """Nested ones too, there and back."""
    example = models.Changes(
        added=["/a"],
        modified=[],
        deleted=["/b"],
        counts=models.ChangeCounts(added=1, modified=0, deleted=1),
        truncated=False,
        not_utf8=None,
    ).model_dump()
    found = commands.Changes.from_json(example)

    assert isinstance(found.counts, commands.ChangeCounts)
    assert found.to_json() == {k: v for k, v in example.items() if v is not None}


def _public(described: type[Any]) -> dict[str, list[str]]:
    found = {}
    for name, member in inspect.getmembers(described, callable):
        if not name.startswith("_"):
            found[name] = list(inspect.signature(member).parameters)
    return found


@pytest.mark.parametrize("name", ["Gateway", "Sandbox", "CommandHandle", "Session", "Terminal"])
def test_both_clients_have_the_same_methods(name: str) -> None:
    """And the same parameters: one can be learned from the other."""
    waiting = _public(getattr(client, name))
    for_asyncio = _public(getattr(client, f"Async{name}"))
    for_asyncio["close"] = for_asyncio.pop("aclose", for_asyncio.get("close", []))
    for_asyncio.pop("connect" if name == "Terminal" else "", None)
    waiting.setdefault("close", for_asyncio["close"])

    assert for_asyncio == waiting


def test_the_parts_of_a_sandbox_are_the_same_too() -> None:
    """commands, files, snapshots, ports."""
    from gateway.client.aio import commands as aio_commands
    from gateway.client.aio import files as aio_files
    from gateway.client.aio import sandbox as aio_sandbox
    from gateway.client.sync import commands as sync_commands
    from gateway.client.sync import files as sync_files
    from gateway.client.sync import sandbox as sync_sandbox

    for one, other in (
        (sync_commands.Commands, aio_commands.AsyncCommands),
        (sync_files.Files, aio_files.AsyncFiles),
        (sync_sandbox.SandboxSnapshots, aio_sandbox.AsyncSandboxSnapshots),
        (sync_sandbox.Ports, aio_sandbox.AsyncPorts),
    ):
        assert _public(one) == _public(other)


def test_all_names_can_be_imported() -> None:
    """They are imported when they are asked for: a misspelt home would be found by users."""
    assert {name: getattr(client, name, None) for name in client.__all__ if name}.values()
    assert all(hasattr(client, name) for name in client.__all__)
    with pytest.raises(AttributeError):
        client.Nothing  # noqa: B018
    assert client.__version__ == gateway.__version__


def test_the_command_line_imports_little() -> None:
    """httpx2 takes longer than the whole of `sgw ls`."""
    code = (
        "import sys, gateway.client.cli.main, gateway.client.cli.running;"
        "import gateway.client.cli.quick_gateway;"
        "print({'httpx2', 'anyio', 'asyncio', 'flask'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "set()"


def test_its_dataclasses_are_all_of_this_kind() -> None:
    """So that each passes over what it does not know."""
    for module in (sandboxes, snapshots, ports):
        for _, found in inspect.getmembers(module, dataclasses.is_dataclass):
            assert issubclass(found, Answer)
