"""The tables of docs/ are what the code says: `scripts/docs` makes them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from gateway import errors
from gateway.middleware.problem_documents import status_of
from gateway.settings import Settings
from scripts.lib import reference_tables
from scripts.lib.reference_tables import Reference, WrongMark, filled, missing
from tests.support.markdown import ROOT, Page


@pytest.fixture(scope="module")
def reference() -> Reference:
    return reference_tables.of_this_gateway()


def _pages() -> list[str]:
    return [path.read_text(encoding="utf-8") for path in ROOT.glob("docs/*.md")]


def _marked(words: str, between: str = "") -> str:
    return f"# Title\n\n<!-- table: {words} -->\n{between}<!-- end of table -->\n\nEnd.\n"


@pytest.mark.long
def test_the_pages_are_as_the_code_wants_them() -> None:
    """A setting, an error or a route that was changed without `scripts/docs` fails here."""
    check = subprocess.run(
        [ROOT / "scripts" / "docs", "--check"], capture_output=True, text=True, timeout=60
    )

    assert check.returncode == 0, check.stdout + check.stderr


def test_drift_is_found(reference: Reference) -> None:
    """In a row, in a row that is missing, and in one too many."""
    text = filled(_marked("settings SANDBOX_PORT SANDBOX_HOST"), reference)
    assert filled(text, reference) == text

    [row] = re.findall(r"^\| `SANDBOX_PORT`.*\n", text, re.MULTILINE)
    for drifted in ("", row.replace("8003", "8004"), row * 2):
        assert filled(text.replace(row, drifted), reference) == text


def test_what_is_written_by_hand_stays(reference: Reference) -> None:
    """Two tables on one page, and the words around them."""
    text = filled(
        "Before.\n" + _marked("errors", "what was there\n") + _marked("query GET /events"),
        reference,
    )

    assert "what was there" not in text
    assert text.startswith("Before.\n# Title\n")
    assert text.count("\nEnd.\n") == 2
    assert "\n| 503 | `store_unavailable` |" in text
    assert "\n| `after` |" in text


@pytest.mark.parametrize(
    "text",
    [
        _marked("weather"),
        _marked("settings SANDBOX_COLOUR"),
        _marked("routes Weather"),
        _marked("body GET /sandboxes"),
        _marked("body POST /weather"),
        _marked("errors").replace("<!-- end of table -->", ""),
    ],
)
def test_a_wrong_mark_is_refused(reference: Reference, text: str) -> None:
    """A misspelt one would leave an old table for ever."""
    with pytest.raises(WrongMark):
        filled(text, reference)


def test_everything_has_its_place(reference: Reference) -> None:
    """All settings, routes, bodies and errors, each once."""
    pages = _pages()

    assert missing(pages, reference) == []
    twice = missing([*pages, _marked("settings SANDBOX_PORT"), _marked("errors")], reference)
    assert [line.split("`")[1] for line in twice] == ["settings SANDBOX_PORT", "errors"]


def test_what_has_no_place_is_named(reference: Reference) -> None:
    """Whoever adds a setting or a tag is told where it must go."""
    line, *_ = missing([], reference)
    lines = "\n".join(missing([], reference))

    assert "`settings SANDBOX_HOST`" in line
    assert "docs/" in line
    for table in (
        "settings SANDBOX_INSTANCE",
        "routes Sandboxes",
        "body PATCH /sandboxes/{sandbox_id}",
        "errors",
        "socket errors",
    ):
        assert f"`{table}`" in lines


def test_settings_have_their_true_defaults(reference: Reference) -> None:
    """Every setting has a row, with what pydantic would take and a sentence."""
    shown = {row[0].strip("`"): row for row in Page("docs/settings.md").rows}

    assert shown.keys() == {f"SANDBOX_{name.upper()}" for name in Settings.model_fields}
    assert shown["SANDBOX_DATA_DIR"][1] == "`~/.local/state/sandbox-gateway`"
    assert shown["SANDBOX_PORT"][1:3] == ["`8003`", "1 to 65535"]
    assert shown["SANDBOX_INSECURE"][1:3] == ["`0`", "`0`, `1`"]
    assert shown["SANDBOX_EGRESS"][2] == "`internet`, `all`, `none`"
    assert shown["SANDBOX_API_KEYS"][1] == "empty"
    assert all(row[3].endswith(".") for row in shown.values())


def test_defaults_do_not_depend_on_who_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the check would fail on the machine of whoever has another state directory."""
    monkeypatch.setenv("XDG_STATE_HOME", "/elsewhere")

    settings = reference_tables.of_this_gateway().settings

    assert settings["SANDBOX_DATA_DIR"]["default"] == "~/.local/state/sandbox-gateway"


def test_errors_have_their_true_statuses() -> None:
    """Clients switch over codes and statuses."""
    rows = {row[1].strip("`"): row for row in Page("docs/api.md").rows if row[0].isdecimal()}

    for kind in (errors.SandboxNotFound, errors.CapacityExhausted, errors.LineTooLong):
        assert int(rows[kind.code][0]) == status_of(kind)
    assert all(row[2].endswith(".") for row in rows.values())


def test_an_error_without_a_meaning_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table would show an empty cell, and nobody would see it."""
    monkeypatch.setattr(errors.SandboxNotFound, "__doc__", None)

    with pytest.raises(WrongMark, match="SandboxNotFound needs a docstring"):
        reference_tables.of_this_gateway()


def test_the_check_is_a_stage() -> None:
    """What only a test file knows is not found by whoever reads what CI does."""
    assert "scripts/docs --check" in Path(ROOT / "scripts/test.sh").read_text()
