"""The READMEs: the same in every language, and true.

What they show was tried by hand; here is what a machine can hold them to.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import pytest
from flask import Flask
from pydantic import TypeAdapter

from gateway import errors
from gateway.api.rest.errors import status_of
from gateway.api.rest.openapi.document import describe
from gateway.api.rest.openapi.operations import expanded
from gateway.app import create_app, runtime_of
from gateway.errors import GatewayError
from gateway.schemas import models
from gateway.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("README.md", "README.it.md", "README.zh-CN.md")

SETTINGS = {f"SANDBOX_{name.upper()}": field for name, field in Settings.model_fields.items()}

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_COMMENT = re.compile(r"\s*(?<!\S)#.*$", re.MULTILINE)
_LINK = re.compile(r"\]\(([^)]+)\)")

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
    | models.SandboxCreated
    | models.Sandbox
    | models.SandboxStats
    | models.Deleted
    | models.TokenIssued
    | models.Problem
    | list[models.Sandbox]
    | list[models.Event]
    | list[models.CommandSummary]
)


@dataclass(frozen=True)
class Readme:
    name: str

    @property
    def text(self) -> str:
        return (ROOT / self.name).read_text(encoding="utf-8")

    @property
    def prose(self) -> str:
        """Everything but the code blocks."""
        return _FENCED.sub("", self.text)

    @property
    def headings(self) -> list[tuple[int, str]]:
        found = re.findall(r"^(#+) (.+)$", self.prose, re.MULTILINE)
        return [(len(marks), title) for marks, title in found]

    @property
    def blocks(self) -> list[tuple[str, str]]:
        """(language, code) of each code block."""
        return _FENCED.findall(self.text)

    def code(self, language: str) -> list[str]:
        return [code for kind, code in self.blocks if kind == language]

    @property
    def tables(self) -> list[list[list[str]]]:
        """The cells of each table's rows, without head and ruler."""
        tables = re.findall(r"(?:^\|.*\n)+", self.prose, re.MULTILINE)
        return [
            [
                [cell.strip() for cell in line.strip("|").split(" | ")]
                for line in table.splitlines()[2:]
            ]
            for table in tables
        ]

    @property
    def rows(self) -> list[list[str]]:
        """The cells of all tables' rows, without heads and rulers."""
        return [row for table in self.tables for row in table]

    @property
    def fields(self) -> list[str]:
        """The table of what a command may be given."""
        return self._names_in_the_table_of("command")

    @property
    def options(self) -> list[str]:
        """The table of what a sandbox may be given."""
        return self._names_in_the_table_of("image")

    def _names_in_the_table_of(self, first: str) -> list[str]:
        [table] = [table for table in self.tables if table[0][0] == f"`{first}`"]
        return [row[0].strip("`") for row in table]


ENGLISH = Readme(NAMES[0])
ALL = [pytest.param(Readme(name), id=name) for name in NAMES]
TRANSLATIONS = ALL[1:]


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The real application; nothing in it has been started."""
    app = create_app(Settings(data_dir=tmp_path_factory.mktemp("data")))
    yield app
    runtime_of(app).close()
    runtime_of(app).release()


def _without_comments(blocks: list[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(language, _COMMENT.sub("", code)) for language, code in blocks]


def test_they_are_found() -> None:
    """The other tests here would pass on nothing."""
    assert len(ENGLISH.headings) > 10
    assert len(ENGLISH.blocks) > 20
    assert len(ENGLISH.rows) > 40


@pytest.mark.parametrize("readme", TRANSLATIONS)
def test_translations_have_the_same_structure(readme: Readme) -> None:
    """A section that was added in one language only fails here."""
    assert [level for level, _ in readme.headings] == [level for level, _ in ENGLISH.headings]
    assert [row[0] for row in readme.rows] == [row[0] for row in ENGLISH.rows]
    assert len(readme.text.splitlines()) == len(ENGLISH.text.splitlines())


@pytest.mark.parametrize("readme", TRANSLATIONS)
def test_translations_have_the_same_code(readme: Readme) -> None:
    """Only comments are translated: an example that works in one language works in all."""
    assert _without_comments(readme.blocks) == _without_comments(ENGLISH.blocks)


def test_only_comments_are_left_out_of_the_comparison() -> None:
    """Otherwise an anchor, a URL or a `$#` would hide the rest of its line from it."""
    code = "run  # why\n# whole line\nopen http://host/#anchor $# 'a#b'\n"

    assert _without_comments([("sh", code)]) == [("sh", "run\nopen http://host/#anchor $# 'a#b'\n")]


@pytest.mark.parametrize("readme", ALL)
def test_each_links_the_others_at_the_top(readme: Readme) -> None:
    """Whoever opens the wrong language is one click away from theirs."""
    top = "\n".join(readme.text.splitlines()[:4])

    assert {*_LINK.findall(top)} == {*NAMES} - {readme.name}


@pytest.mark.parametrize("readme", ALL)
def test_links_lead_somewhere(readme: Readme) -> None:
    """To a file of the repository, or to a heading by the anchor that GitHub makes of it."""
    anchors = {re.sub(r"[^\w\- ]", "", t.lower()).replace(" ", "-") for _, t in readme.headings}

    for target in _LINK.findall(readme.prose):
        if target.startswith("#"):
            assert target[1:] in anchors
        else:
            assert (ROOT / target).is_file(), target


@pytest.mark.parametrize("readme", ALL)
def test_the_two_commands_come_first(readme: Readme) -> None:
    """A newcomer finds them on the first screen, and the scripts are there to be run."""
    first_screen = "\n".join(readme.text.splitlines()[:40])

    for command in ("./start.sh", "./scripts/test.sh", "./scripts/run"):
        assert command in first_screen
        assert (ROOT / command).stat().st_mode & 0o111


@pytest.mark.parametrize("readme", ALL)
def test_settings_have_their_true_defaults(readme: Readme, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting has a row in the table; a changed default fails here."""
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    shown = {row[0].strip("`"): row[1] for row in readme.rows if row[0].startswith("`SANDBOX_")}

    assert shown.keys() == SETTINGS.keys()
    for name, field in SETTINGS.items():
        default = str(field.get_default(call_default_factory=True))
        default = default.replace(str(Path.home()), "~")
        if default:
            assert shown[name] == f"`{default}`", name
        else:
            assert "`" not in shown[name], f"{name} has no fixed default"


@pytest.mark.parametrize("readme", ALL)
def test_no_setting_is_made_up(readme: Readme) -> None:
    """pydantic ignores unknown variables: a misspelt one would do nothing, in silence."""
    assert {*re.findall(r"SANDBOX_\w+", readme.text)} == SETTINGS.keys()


@pytest.mark.parametrize("readme", ALL)
def test_the_table_of_routes_is_complete(readme: Readme, app: Flask) -> None:
    """All routes of the OpenAPI document, and no other."""
    calls = [row[0].strip("`").split(" ") for row in readme.rows]
    listed = {(call[0], call[1]) for call in calls if len(call) == 2}
    paths = describe(app).paths or {}

    assert listed == {
        (method.upper(), path)
        for path, item in paths.items()
        for method in item.model_dump(exclude_none=True)
    }


@pytest.mark.parametrize("readme", ALL)
def test_every_address_exists(readme: Readme, app: Flask) -> None:
    """Those in the prose, in commands and in Python, with any id in the place of the id."""
    found = re.findall(r"(http|ws)://localhost:8003(/[\w/{}$.-]+)", readme.text)
    assert {scheme for scheme, _ in found} == {"http", "ws"}

    for scheme, path in found:
        filled = re.sub(r"\{\w+\}|\$ID", "5f0c", path)
        adapter = app.url_map.bind("localhost", url_scheme=scheme)
        assert adapter.allowed_methods(filled), path


@pytest.mark.parametrize("readme", ALL)
def test_errors_have_their_true_statuses(readme: Readme) -> None:
    """Clients switch over codes: a misspelt one would never match."""
    status_by_code = {kind.code: status_of(kind) for kind in expanded([GatewayError])}

    over_http = {row[1].strip("`"): int(row[0]) for row in readme.rows if row[0].isdecimal()}
    assert over_http == {code: status_by_code[code] for code in over_http}
    named = {row[0].strip("`") for row in readme.rows if re.fullmatch("`[a-z_]+`", row[0])}
    in_frames = named - {*readme.fields, *readme.options}
    assert errors.CommandLost.code in in_frames
    assert in_frames <= status_by_code.keys()


@pytest.mark.parametrize("readme", ALL)
def test_the_table_of_fields_is_complete(readme: Readme) -> None:
    """All that a command may be given, and nothing that would be refused."""
    assert sorted(readme.fields) == sorted(models.CommandRun.model_fields)


@pytest.mark.parametrize("readme", ALL)
def test_the_table_of_options_is_complete(readme: Readme) -> None:
    """All that a sandbox may be given, and nothing that would be refused."""
    assert sorted(readme.options) == sorted(models.SandboxCreate.model_fields)


@pytest.mark.parametrize("readme", ALL)
def test_every_reason_and_event_is_named(readme: Readme) -> None:
    """Clients switch over them."""
    reasons = {*get_args(models.Ended.model_fields["reason"].annotation)}
    events = re.findall(r"`([a-z]+)`", models.Event.model_fields["event"].description or "")

    assert {*events} >= {"created", "ended"}
    for name in {*reasons, *events}:
        assert f"`{name}`" in readme.prose, name


def test_every_type_of_message_is_shown() -> None:
    """Both ways: whoever writes a client finds an example of each in the README."""
    lines = [line for code in ENGLISH.code("json") for line in code.splitlines()]
    shown = {message.get("type") for message in map(json.loads, lines) if type(message) is dict}

    assert shown >= {
        *("stdin", "signal", "resize", "attach", "list", "ping"),
        *("started", "stdout", "stderr", "gap", "commands", "pong", "result", "error", "ended"),
    }


def test_json_is_as_the_models_say() -> None:
    """Each line is a message that the gateway takes or sends, with exactly its fields."""
    lines = [line for code in ENGLISH.code("json") for line in code.splitlines()]
    assert lines

    for line in lines:
        _ANSWERS.validate_json(line, strict=True)


def test_python_examples_are_python() -> None:
    """A slip of the editor is found before a reader pastes it."""
    examples = ENGLISH.code("python")
    assert examples

    for example in examples:
        ast.parse(example)
