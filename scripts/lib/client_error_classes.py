"""The client's error classes as text: made from the gateway's own, so that none is missing."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator

from gateway import errors

_LEFT_OUT = {"GatewayError", "SettingsError", "StoreTooNew"}
"""The base has a class of its own in the client; the others end a start, which no client sees."""

_HEAD = '''"""One exception class per `code` that the gateway answers with.

Written by `scripts/client_errors` from the gateway's own errors: edit those. What has a code that
is newer than this client is an `ApiError`.
"""

from __future__ import annotations

from .api_error import ApiError
'''


def text_of_the_module() -> str:
    """The whole module, as `ruff format` would leave it."""
    classes = list(_classes())
    parts = [_HEAD, *map(_class_text, classes)]
    codes = "\n".join(f'    "{code}": {name},' for code, name in sorted(_by_code(classes).items()))
    table = f"BY_CODE: dict[str, type[ApiError]] = {{\n{codes}\n}}\n"
    return "\n\n".join([*parts, table])


def _classes() -> Iterator[type[errors.GatewayError]]:
    """In the order of their definition, so that each base comes first."""
    for name, found in vars(errors).items():
        is_error = inspect.isclass(found) and issubclass(found, errors.GatewayError)
        if is_error and name not in _LEFT_OUT:
            yield found


def _class_text(described: type[errors.GatewayError]) -> str:
    base = described.__bases__[0].__name__
    base = "ApiError" if base == "GatewayError" else base
    said = (described.__doc__ or "").split("\n\n")[0] if "__doc__" in vars(described) else ""
    said = " ".join((said or described.title).split())
    if not said.endswith("."):
        said += "."
    lines = textwrap.wrap(f'"""{said}"""', 96)
    text = f"class {described.__name__}({base}):\n" + textwrap.indent("\n".join(lines), "    ")
    if "code" in vars(described):
        text += f'\n\n    code = "{described.code}"'
    return text + "\n"


def _by_code(classes: list[type[errors.GatewayError]]) -> dict[str, str]:
    """Of several with one code, that which brings it in; a group gives it to its plain member."""
    named: dict[str, str] = {}
    for one in classes:
        if "code" in vars(one):
            named[one.code] = one.__name__
    return named | {"bad_request": "BadRequest", "engine_failed": "EngineRefused"}
