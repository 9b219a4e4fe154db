"""What all commands have: which gateway, how to print, which sandbox is meant."""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..core.address import KEY_VARIABLE, URL_VARIABLE
from . import contexts

if TYPE_CHECKING:
    from ..sync.gateway import Gateway
    from ..sync.sandbox import Sandbox

F = TypeVar("F", bound=Callable[..., Any])

_ID = re.compile("[0-9a-f]{32}")
SHORT = 12
"""Characters of an id that are shown to people."""


class Invocation:
    """One call of `sgw`. The gateway is asked for when it is needed first."""

    def __init__(self, url: str | None, context: str | None, output: str | None) -> None:
        self._url = url
        self._context = context
        self._gateway: Gateway | None = None
        self.is_json = output == "json"
        self.is_for_people = output is None and sys.stdout.isatty()

    @property
    def gateway(self) -> Gateway:
        """Of --url; of --context; of GATEWAY_URL; of the context in use; of this machine."""
        if self._gateway is None:
            from .quick_gateway import QuickGateway

            url, key = self.address()
            self._gateway = QuickGateway(url, key, language=_language())
        return self._gateway

    def address(self) -> tuple[str | None, str | None]:
        """URL and key, as far as they are said somewhere. Raises UsageError."""
        key = os.environ.get(KEY_VARIABLE)
        if self._url is not None:
            return self._url, key or ""
        if self._context is None and os.environ.get(URL_VARIABLE):
            return os.environ[URL_VARIABLE], key or ""
        known = contexts.load()
        name = self._context or known.current
        if name is None:
            return None, key or ""
        if name not in known.known:
            raise click.UsageError(f"there is no context {name!r}: sgw context set {name} URL")
        found = known.known[name]
        return found.get("url"), found.get("key", key or "")

    def sandbox(self, given: str) -> Sandbox:
        """The one with this id, this name, or the only one whose id begins so. It is not asked
        whether one with a whole id is there."""
        if _ID.fullmatch(given):
            return self.gateway.sandbox(given)
        return self.gateway.sandbox(self._found(given))

    def _found(self, given: str) -> str:
        from ..error_codes import SandboxNotFound

        try:
            return self.gateway.connect(given).id
        except SandboxNotFound:
            ids = [one.sandbox_id for one in self.gateway.sandboxes()]
            fitting = [one for one in ids if one.startswith(given)]
            if len(fitting) > 1:
                raise click.UsageError(
                    f"{given!r} is the beginning of {len(fitting)} sandboxes"
                ) from None
            if not fitting:
                raise
            return fitting[0]

    # --- printing --------------------------------------------------------------------------------

    def print_json(self, value: Any) -> None:
        """On a terminal indented, else on one line."""
        indent = 2 if sys.stdout.isatty() else None
        click.echo(json.dumps(value, ensure_ascii=False, indent=indent))

    def print_table(self, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """In columns. Where nobody looks, without heads and with tabs between."""
        texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
        if not self.is_for_people:
            for row in texts:
                click.echo("\t".join(row))
            return
        table = [list(heads), *texts]
        widths = [max(len(row[n]) for row in table) for n in range(len(heads))]
        for row in table:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
            click.echo("  ".join(cells).rstrip())

    def shown_id(self, sandbox_id: str) -> str:
        """Short for people, whole for programs."""
        return sandbox_id[:SHORT] if self.is_for_people else sandbox_id


def _language() -> str | None:
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        found = os.environ.get(variable, "")[:2].lower()
        if found in ("it", "zh"):
            return found
        if found:
            return None
    return None


def with_gateway(command: F) -> F:
    """Give a command the options that all have, and an Invocation as its first argument."""

    @click.option(
        "-o", "--output", type=click.Choice(["json", "text"]), help="How to print: json, or text."
    )
    @click.option("--context", metavar="NAME", help="The gateway of this context.")
    @click.option("--url", metavar="URL", help="The gateway at this address.")
    @functools.wraps(command)
    def wrapped(
        *arguments: Any, url: str | None, context: str | None, output: str | None, **options: Any
    ) -> Any:
        return command(Invocation(url, context, output), *arguments, **options)

    return wrapped  # type: ignore[return-value]  # it takes one argument less, as click calls it


def complete_sandbox(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Ids and names that begin so, for shells; nothing where the gateway does not say."""
    invocation = Invocation(ctx.params.get("url"), ctx.params.get("context"), None)
    try:
        from .quick_gateway import QuickGateway

        url, key = invocation.address()
        with QuickGateway(url, key, timeout=2.0) as gateway:
            found = gateway.sandboxes()
    except Exception:  # noqa: BLE001  (a shell that completes words must not show a traceback)
        return []
    words = [word for one in found for word in (one.name, one.sandbox_id) if word]
    return [word for word in words if word.startswith(incomplete)]


def sandbox_argument(name: str = "sandbox", **options: Any) -> Callable[[F], F]:
    """The argument that names a sandbox, which shells complete."""
    return click.argument(name, metavar="SANDBOX", shell_complete=complete_sandbox, **options)


def pairs(given: Sequence[str], option: str) -> dict[str, str]:
    """NAME=VALUE, several times. Raises UsageError."""
    found = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise click.UsageError(f"{option} takes NAME=VALUE, not {one!r}")
        found[name] = value
    return found
