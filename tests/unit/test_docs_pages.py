"""All pages of the documentation: their links lead somewhere, and what they show is true.

What a machine can hold them to is here; the examples are run by `tests/e2e/test_docs_pasted.py`.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from flask import Flask
from pydantic import TypeAdapter

from gateway.app import create_app, runtime_of
from gateway.schemas import models
from gateway.settings import Settings
from tests.support.markdown import ROOT, Page, broken_links

README = Page("README.md")
API = Page("docs/api.md")
WEBSOCKET = Page("docs/websocket.md")
OPERATION = Page("docs/operation.md")
WITH_EXAMPLES = (README, API, WEBSOCKET, OPERATION)

EVERY = [
    pytest.param(Page(str(path.relative_to(ROOT))), id=str(path.relative_to(ROOT)))
    for path in sorted((*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
]

VARIABLES = {f"SANDBOX_{name.upper()}" for name in Settings.model_fields}

_ANSWERS = TypeAdapter(
    models.CommandRequest
    | models.CommandResult
    | models.Command
    | models.CommandAccepted
    | models.StdinMessage
    | models.SignalMessage
    | models.ResizeMessage
    | models.AttachMessage
    | models.ListMessage
    | models.PingMessage
    | models.CommandStarted
    | models.OutputPiece
    | models.OutputGap
    | models.CommandList
    | models.Pong
    | models.SocketError
    | models.SandboxEnded
    | models.SandboxRestored
    | models.Changes
    | models.Snapshot
    | models.SnapshotCreate
    | models.RestoreRequest
    | models.ForkRequest
    | models.SandboxCreated
    | models.Sandbox
    | models.SandboxStats
    | models.Deleted
    | models.FileStat
    | models.FileEvent
    | models.TemplateMade
    | models.Watching
    | models.TokenIssued
    | models.PortToken
    | models.Problem
    | list[models.Sandbox]
    | list[models.Event]
    | list[models.CommandSummary]
    | list[models.ListeningPort]
    | list[models.Forked]
)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The real application; nothing in it has been started."""
    app = create_app(Settings(data_dir=tmp_path_factory.mktemp("data")))
    yield app
    runtime_of(app).close()
    runtime_of(app).release()


@pytest.mark.parametrize("page", EVERY)
def test_links_lead_somewhere(page: Page) -> None:
    """To a file of the repository, or to a heading by the anchor that GitHub makes of it."""
    assert broken_links(page) == []


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """The check has to tell files, headings of this page and headings of others."""
    (tmp_path / "other.md").write_text("# There\n## There\n")
    page = Page("page.md", root=tmp_path)
    page.path.write_text(
        "# A title, with `code`\n\n[1](#a-title-with-code) [2](#nothing) [3](nothing.md) "
        "[4](other.md#there-1) [5](other.md#there-2) [6](https://example.com/x) [7](../x.md) "
        "`[8](nothing.md)`\n"
    )

    assert broken_links(page) == ["#nothing", "nothing.md", "other.md#there-2", "../x.md"]


def test_every_page_is_linked() -> None:
    """A page that nobody is led to is read by nobody."""
    linked = {target.partition("#")[0] for target in README.links}
    linked |= {target.partition("#")[0] for target in Page("CONTRIBUTING.md").links}

    assert {page.values[0].name for page in EVERY if "/" in page.values[0].name} <= linked


@pytest.mark.parametrize("page", [page for page in EVERY if page.id != "CHANGELOG.md"])
def test_no_setting_is_made_up(page: Page) -> None:
    """pydantic ignores unknown variables: a misspelt one would do nothing, in silence."""
    assert {*re.findall(r"\bSANDBOX_\w+", page.text)} <= VARIABLES


def test_every_address_exists(app: Flask) -> None:
    """Those in the prose, in commands and in Python, with any id in the place of the id."""
    found = {
        address
        for page in WITH_EXAMPLES
        for address in re.findall(r"(http|ws)://localhost:8003(/[\w/{}$.-]+)", page.text)
    }
    assert {scheme for scheme, _ in found} == {"http", "ws"}
    assert len(found) >= 15

    for scheme, path in found:
        filled = re.sub(r"\{\w+\}|\$[A-Z]+", "5f0c", path)
        # What follows is the server's own, and cut off before routes are looked for.
        filled = re.sub(r"(/ports/[0-9]+/)(?!token$).+", r"\1", filled)
        adapter = app.url_map.bind("localhost", url_scheme=scheme)
        # A route for any method whatever allows none in particular.
        assert adapter.allowed_methods(filled) or adapter.test(filled, "GET"), path


def test_every_reason_and_event_is_named() -> None:
    """Clients switch over them."""
    reasons = {*get_args(models.Ended.model_fields["reason"].annotation)}
    events = re.findall(r"`([a-z]+)`", models.Event.model_fields["event"].description or "")

    assert {*events} >= {"created", "ended"}
    for name in {*reasons, *events}:
        assert f"`{name}`" in API.prose, name


def _json_lines(page: Page) -> list[str]:
    return [line for code in page.code("json") for line in code.splitlines()]


def test_every_type_of_message_is_shown() -> None:
    """Both ways: whoever writes a client finds an example of each."""
    messages = map(json.loads, _json_lines(WEBSOCKET))
    shown = {message.get("type") for message in messages if type(message) is dict}

    assert shown >= {
        *("stdin", "signal", "resize", "attach", "list", "ping"),
        *("started", "stdout", "stderr", "gap", "commands", "pong", "result", "error", "ended"),
    }


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=lambda page: page.name)
def test_json_is_as_the_models_say(page: Page) -> None:
    """Each line is a message that the gateway takes or sends, with exactly its fields."""
    lines = _json_lines(page)
    assert lines

    for line in lines:
        _ANSWERS.validate_json(line, strict=True)


@pytest.mark.parametrize("page", [README, WEBSOCKET], ids=lambda page: page.name)
def test_python_examples_are_python(page: Page) -> None:
    """A slip of the editor is found before a reader pastes it."""
    examples = page.code("python")
    assert examples

    for example in examples:
        ast.parse(example)
