"""Code contexts: every surface's way to them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gateway.contexts.context_links import ContextLinks
from gateway.contexts.execution import WINDOW_BYTES, Execution
from gateway.errors import ContextNotFound, ContextsMissing, ProtocolBroken
from gateway.files.exchange import Exchange
from gateway.identity.slots import Slots
from gateway.link.exited import writable
from gateway.process.byte_budget import ByteBudget, Holding
from gateway.use.place import Place

DEFAULT = "default"
"""The context that every sandbox has whose image runs code, from the beginning."""

LANGUAGES = {"python": "python", "python3": "python"}
"""What clients may call those that there are kernels for."""

LONGEST_PATH = 4096
_CONTEXT_ID = re.compile(r"[0-9a-z]{1,64}")


@dataclass(frozen=True)
class CodeContext:
    """An interpreter with its state. `cwd` is where it began."""

    context_id: str
    language: str
    cwd: str


class Contexts:
    """One per process. Every method may raise FeatureMissing, a SandboxFault and what dialling
    does; with a `context_id`, ContextNotFound. The default context is there again whenever somebody
    uses it."""

    def __init__(
        self, links: ContextLinks, budget: ByteBudget, running: Slots, most_per_sandbox: int
    ) -> None:
        self._links = links
        self._budget = budget
        self._running = running
        self._most = most_per_sandbox

    def create(self, place: Place, language: str | None, cwd: str | None) -> CodeContext:
        """A context of its own, ready. Raises ContextsMissing for a language without a kernel,
        TooManyContexts, PathNotFound, and TooManyCommands where the sandbox has no room for a
        process."""
        demand_language(language)
        return _context(self._links.ask(place, "create_context", cwd=cwd, most=self._most))

    def list(self, place: Place) -> list[CodeContext]:
        """In the order of their making."""
        told = self._links.ask_again(place, "contexts").get("contexts")
        if not isinstance(told, list):
            raise ProtocolBroken("a list of contexts that is none")
        return [_context(one) for one in told]

    def delete(self, place: Place, context_id: str) -> None:
        """What runs and waits in it ends."""
        self._links.ask(place, "delete_context", context=_checked(context_id))

    def restart(self, place: Place, context_id: str) -> None:
        """Likewise, and its state is gone."""
        self._links.ask(place, "restart_context", context=_checked(context_id))

    def interrupt(self, place: Place, context_id: str) -> None:
        """What runs in it, if something does, gets a KeyboardInterrupt."""
        self._links.ask_again(place, "interrupt_context", context=_checked(context_id))

    @contextmanager
    def execute(
        self,
        place: Place,
        context_id: str,
        code: str,
        env: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> Iterator[Execution]:
        """Run code when it is its turn. Whoever leaves the block before the end interrupts it, and
        so does `timeout_s`, counted from now on. Raises TooManyExecutions, TooMuchUnread and
        GatewayFull."""
        message = {
            "op": "execute",
            "context": _checked(context_id),
            "env": dict(env or {}),
            "timeout_s": timeout_s,
            "body": code.encode("utf-8"),  # `gateway.protocol.frames.BODY`
        }
        with (
            self._running.one(place.owner),
            self._budget.hold(place.owner, WINDOW_BYTES),
            self._links.link(place) as link,
            Exchange(link, message, WINDOW_BYTES) as exchange,
        ):
            yield Execution(exchange, self._budget, place.owner)

    @contextmanager
    def room_for(self, place: Place) -> Iterator[Holding]:
        """What is kept of an execution within the block counts against its owner's share."""
        held = Holding(self._budget, place.owner)
        try:
            yield held
        finally:
            held.close()


def demand_language(language: str | None) -> str:
    """Its usual name. Raises ContextsMissing for one without a kernel."""
    found = LANGUAGES.get((language or "python").lower())
    if found is None:
        raise ContextsMissing(f"there is no kernel for {(language or '')[:100]!r}")
    return found


def _checked(context_id: str) -> str:
    if not _CONTEXT_ID.fullmatch(context_id):
        raise ContextNotFound
    return context_id


def _context(told: Any) -> CodeContext:
    found = [told.get(name) for name in ("context_id", "language", "cwd")] if told else []
    if len(found) != 3 or not all(isinstance(one, str) for one in found):
        raise ProtocolBroken("a context without its facts")
    context_id, language, cwd = found
    if not _CONTEXT_ID.fullmatch(context_id):
        raise ProtocolBroken("a context of an odd name")
    return CodeContext(context_id, writable(language[:64]), writable(cwd[:LONGEST_PATH]))
