"""The tables in `docs/` that are made from code: of settings, routes, bodies, queries and errors.

A page marks where one stands, and of what; what is between the marks is replaced:

    <!-- table: settings SANDBOX_HOST SANDBOX_PORT -->
    <!-- table: routes Sandboxes -->
    <!-- table: body POST /sandboxes -->
    <!-- table: query GET /sandboxes -->
    <!-- table: errors -->
    <!-- table: socket errors -->
    …
    <!-- end of table -->

All text comes from where the code has it: descriptions of settings and fields, summaries of routes,
the first paragraph of an error's docstring.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# All that is taken from the gateway.
from gateway.app import create_app, runtime_of
from gateway.errors import GatewayError
from gateway.settings import Settings

PREFIX = "SANDBOX_"

_MARKED = re.compile(
    r"(?P<begin>^<!-- table: (?P<kind>socket errors|\w+) ?(?P<words>[^>]*?) ?-->\n)"
    r"(?P<table>.*?)(?P<end>^<!-- end of table -->$)",
    re.DOTALL | re.MULTILINE,
)
_BEGIN = re.compile(r"^<!-- table:", re.MULTILINE)


class WrongMark(Exception):
    """A page asks for a table that does not exist, or something has no place in any table."""


@dataclass(frozen=True, repr=False)
class Reference:
    """What the tables are made from. `document` is the API's (`GET /openapi.json`); `meanings` has
    one sentence or more for each code of an error."""

    document: Mapping[str, Any]
    meanings: Mapping[str, str]
    settings: Mapping[str, Mapping[str, Any]]
    """By name of the variable: the JSON schema of the field, with `default` always there."""


def of_this_gateway() -> Reference:
    """Read the code. Nothing is started, and nothing is left behind."""
    with tempfile.TemporaryDirectory() as directory:
        app = create_app(Settings(data_dir=Path(directory)))
        try:
            document = app.test_client().get("/openapi.json").get_json()
        finally:
            runtime_of(app).close()
            runtime_of(app).release()
    return Reference(document, dict(_meanings(GatewayError)), dict(_settings()))


def filled(text: str, reference: Reference) -> str:
    """A page with its tables as the code wants them. Raises WrongMark."""
    if len(_BEGIN.findall(text)) != len(_MARKED.findall(text)):
        raise WrongMark("a `<!-- table: … -->` has no `<!-- end of table -->` after it")

    def replaced(mark: re.Match[str]) -> str:
        rows = _KINDS.get(mark["kind"])
        if rows is None:
            raise WrongMark(f"there is no table of {mark['kind']!r}")
        table = "".join(f"{line}\n" for line in _drawn(rows(reference, mark["words"])))
        return mark["begin"] + table + mark["end"]

    return _MARKED.sub(replaced, text)


def missing(pages: Iterable[str], reference: Reference) -> list[str]:
    """What should be in exactly one table of all pages together and is not, one line each."""
    marks = [(mark["kind"], mark["words"]) for page in pages for mark in _MARKED.finditer(page)]
    placed = Counter(name for kind, words in marks if kind == "settings" for name in words.split())
    wanted = {f"settings {name}": placed[name] for name in reference.settings}
    tags = {operation["tags"][0] for _, _, operation in _operations(reference)}
    bodies = [
        f"body {method} {path}"
        for method, path, operation in _operations(reference)
        if "requestBody" in operation and _body(reference, operation)["properties"]
    ]
    routes = [f"routes {tag}" for tag in sorted(tags)]
    for table in (*routes, *bodies, "errors", "socket errors"):
        wanted[table] = sum(f"{kind} {words}".strip() == table for kind, words in marks)
    return [
        f"`{table}` must be in one `<!-- table: … -->` of docs/, and is in {count}"
        for table, count in wanted.items()
        if count != 1
    ]


def _meanings(kind: type[GatewayError]) -> Iterator[tuple[str, str]]:
    """(code, first paragraph of the docstring) of each class that has a code of its own."""
    if "code" in vars(kind):
        text = vars(kind).get("__doc__")
        if not text:
            raise WrongMark(f"{kind.__name__} needs a docstring that says what its code means")
        yield kind.code, " ".join(text.partition("\n\n")[0].split())
    for narrower in kind.__subclasses__():
        yield from _meanings(narrower)


def _settings() -> Iterator[tuple[str, dict[str, Any]]]:
    state = os.environ.pop("XDG_STATE_HOME", None)
    try:
        for name, schema in Settings.model_json_schema()["properties"].items():
            field = Settings.model_fields[name]
            default = str(field.get_default(call_default_factory=True))
            shown = schema.get("default", default.replace(str(Path.home()), "~"))
            yield PREFIX + name.upper(), {**schema, "default": shown}
    finally:
        if state is not None:
            os.environ["XDG_STATE_HOME"] = state


def _operations(reference: Reference) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in reference.document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def _operation(reference: Reference, words: str) -> dict[str, Any]:
    for method, path, operation in _operations(reference):
        if words == f"{method} {path}":
            return operation
    raise WrongMark(f"there is no route {words!r}")


Rows = Iterator[tuple[str, ...]]
"""First the head, then the rows, of cells each."""


def _settings_table(reference: Reference, words: str) -> Rows:
    yield "Variable", "Default", "Allowed", "Meaning"
    for name in words.split():
        if name not in reference.settings:
            raise WrongMark(f"there is no setting {name}")
        schema = reference.settings[name]
        default = schema["default"]
        shown = f"`{_number(default)}`" if default != "" else "empty"
        yield f"`{name}`", shown, _allowed(schema), schema["description"]


def _allowed(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "boolean":
        return "`0`, `1`"
    if "exclusiveMinimum" in schema:
        return f"above {_number(schema['exclusiveMinimum'])}, to {_number(schema['maximum'])}"
    if "minimum" in schema:
        return f"{_number(schema['minimum'])} to {_number(schema['maximum'])}"
    return ""


def _number(value: Any) -> str:
    """As one writes it into the environment."""
    if isinstance(value, bool):
        return str(int(value))
    return f"{value:.12g}" if isinstance(value, int | float) else str(value)


def _routes_table(reference: Reference, words: str) -> Rows:
    yield "Call", "Answer", "What it does"
    found = [
        (path, method, operation)
        for method, path, operation in _operations(reference)
        if operation["tags"] == [words]
    ]
    if not found:
        raise WrongMark(f"no route has the tag {words!r}")
    for path, method, operation in sorted(found, key=_by_path):
        good = [status for status in operation["responses"] if int(status) < 400]
        answer = ", ".join("WebSocket" if status == "101" else f"`{status}`" for status in good)
        text = operation["summary"]
        if not text.endswith("?"):
            text += "."
        more = operation.get("description", "").partition("\n\n")[0]
        yield f"`{method} {path}`", answer, f"{text} {more}".strip()


def _by_path(route: tuple[str, str, dict[str, Any]]) -> tuple[str, int]:
    path, method, _ = route
    return path, ["POST", "GET", "PATCH", "PUT", "DELETE"].index(method)


def _body_table(reference: Reference, words: str) -> Rows:
    yield "Field", "Meaning"
    operation = _operation(reference, words)
    if "requestBody" not in operation:
        raise WrongMark(f"{words} takes no body")
    schema = _body(reference, operation)
    required = schema.get("required", [])
    for field in sorted(schema["properties"], key=lambda field: field not in required):
        text = schema["properties"][field].get("description")
        if not text:
            raise WrongMark(f"`{field}` in the body of {words} has no description")
        yield f"`{field}`", f"Required. {text}" if field in required else text


def _body(reference: Reference, operation: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of what the operation takes; without properties where it takes no JSON."""
    content = operation["requestBody"]["content"].get("application/json")
    if content is None:
        return {"properties": {}}
    name = content["schema"]["$ref"].rpartition("/")[2]
    schema: dict[str, Any] = reference.document["components"]["schemas"][name]
    return {"properties": {}, **schema}


def _query_table(reference: Reference, words: str) -> Rows:
    yield "Parameter", "Meaning"
    for parameter in _operation(reference, words)["parameters"]:
        if parameter.get("in") == "query":
            yield f"`{parameter['name']}`", parameter["description"]


def _errors_table(reference: Reference, words: str) -> Rows:
    yield "Status", "`code`", "When"
    found = set()
    for _, _, operation in _operations(reference):
        for status, response in operation["responses"].items():
            problem = response.get("content", {}).get("application/problem+json")
            if problem is not None:
                narrowed = problem["schema"]["allOf"][1]["properties"]
                found |= {(status, code) for code in narrowed["code"]["enum"]}
    for status, code in sorted(found):
        yield status, f"`{code}`", reference.meanings[code]


def _socket_errors_table(reference: Reference, words: str) -> Rows:
    yield "`code`", "When"
    codes: set[str] = set()
    for _, _, operation in _operations(reference):
        codes |= operation.get("x-websocket-messages", {}).get("errorCodes", {}).keys()
    for code in sorted(codes):
        yield f"`{code}`", reference.meanings[code]


def _drawn(rows: Rows) -> Iterator[str]:
    head = next(rows)
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


_KINDS: Mapping[str, Callable[[Reference, str], Rows]] = {
    "settings": _settings_table,
    "routes": _routes_table,
    "body": _body_table,
    "query": _query_table,
    "errors": _errors_table,
    "socket errors": _socket_errors_table,
}
