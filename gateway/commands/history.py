"""The last commands of each sandbox, as far as this process has seen them: for its end record.

Nothing is written while commands run. What is noted goes to the store in the background, and when
the gateway itself ends a sandbox its agent is asked first.
"""

from __future__ import annotations

import base64
import binascii
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import gevent
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway import clock
from gateway.errors import GatewayError
from gateway.link.ask import ask
from gateway.link.links import Links
from gateway.link.users import ONLY_THE_USER, Users
from gateway.process.periodic import PeriodicLoop
from gateway.schemas.command_result import Outcome, Pieces, text_of

log = logging.getLogger(__name__)

FLUSH_S = 0.5
KEPT = 10
"""Commands per sandbox."""

TAIL_BYTES = 2048
COMMAND_CHARACTERS = 200

LAST_LOOK_S = 1.0
"""How long the end of a sandbox waits for its agent's last words."""

Record = dict[str, Any]
"""The fields of `gateway.schemas.models.sandbox_history.LastCommand`."""


class HistoryStore(Protocol):
    """Keeps records over the processes."""

    def write(
        self, sandbox_id: str, records: Sequence[tuple[str, float, Mapping[str, Any]]]
    ) -> bool:
        """Add or replace (key, when it began, record). Whether the sandbox lives."""

    def of(self, sandbox_id: str) -> list[Record]: ...


class Sandbox(Protocol):
    """Whose last words are asked for."""

    @property
    def sandbox_id(self) -> str: ...

    @property
    def container_id(self) -> str | None: ...


@dataclass
class _Entry:
    began_at: float
    record: Record
    is_written: bool = False


class CommandHistory:
    """Notes commands. Owns one greenlet, which writes them down."""

    def __init__(self, store: HistoryStore, links: Links, users: Users = ONLY_THE_USER) -> None:
        self._users = users
        self._store = store
        self._links = links
        self._noted: dict[str, OrderedDict[str, _Entry]] = {}
        self._flusher = PeriodicLoop("writing the history of commands", self._flush_all, FLUSH_S)

    def began(
        self,
        sandbox_id: str,
        key: str,
        request_id: str,
        command: str,
        checkpoint: str | None = None,
    ) -> None:
        """A command was handed over to a sandbox, after a `checkpoint`."""
        now = clock.wall_s()
        self._note(sandbox_id, key, _Entry(now, record_of(request_id, command, now, checkpoint)))

    def ended(self, sandbox_id: str, key: str, outcome: Outcome) -> None:
        """It has come to its end; nothing is noted of one whose beginning was not."""
        noted = self._noted.get(sandbox_id)
        found = noted.get(key) if noted else None
        if found is None:
            return
        stdout, stderr = (_tail(pieces) for pieces in outcome.pieces)
        record = found.record | {
            "returncode": outcome.exited.returncode,
            "output": stdout,
            "error": (outcome.exited.failure or stderr)[:TAIL_BYTES],
        }
        self._note(sandbox_id, key, _Entry(found.began_at, record))

    def _note(self, sandbox_id: str, key: str, entry: _Entry) -> None:
        noted = self._noted.setdefault(sandbox_id, OrderedDict())
        noted[key] = entry
        while len(noted) > KEPT:
            noted.popitem(last=False)

    # --- to the store --------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to write down."""
        self._flusher.start(first_after_s=FLUSH_S)

    def _flush_all(self) -> None:
        for sandbox_id in list(self._noted):
            self.flush(sandbox_id)

    def flush(self, sandbox_id: str) -> None:
        """Write down what is new of a sandbox. Raises StoreUnavailable."""
        noted = self._noted.get(sandbox_id, OrderedDict())
        new = [(key, entry) for key, entry in noted.items() if not entry.is_written]
        if new:
            lives = self._store.write(
                sandbox_id, [(key, entry.began_at, entry.record) for key, entry in new]
            )
            for key, entry in new:
                entry.is_written = True
                # One that still runs stays noted: its end is to be written too.
                if entry.record["returncode"] is not None or not lives:
                    noted.pop(key, None)
        if not noted:
            self._noted.pop(sandbox_id, None)

    def close(self) -> None:
        """Write down what there is, and stop. May be repeated."""
        self._flusher.close()
        try:
            for sandbox_id in list(self._noted):
                self.flush(sandbox_id)
        except GatewayError as error:
            log.warning("the end of the history of commands is lost: %s", error)

    # --- at a sandbox's end --------------------------------------------------------------------

    def last_look(self, sandbox: Sandbox) -> None:
        """Note what the sandbox's agent knows. Takes a second at most; nothing is raised."""
        try:
            self.flush(sandbox.sandbox_id)
            if sandbox.container_id is not None:
                with gevent.Timeout(LAST_LOOK_S, False):
                    for address in self._users.addresses(sandbox.container_id):
                        with self._links.using(address):
                            self._take_last_words(sandbox.sandbox_id, address)
        except GatewayError as error:
            log.info("sandbox %s has no last words: %s", sandbox.sandbox_id, error)
        self._noted.pop(sandbox.sandbox_id, None)

    def _take_last_words(self, sandbox_id: str, address: str) -> None:
        link = self._links.get(address)
        said = ask(link, "last_words", count=KEPT, bytes=TAIL_BYTES).get("commands")
        try:
            words = [_LastWords.model_validate(one) for one in list(said or [])[-2 * KEPT :]]
        except (ValidationError, TypeError):
            return  # an agent may say anything
        self._store.write(
            sandbox_id,
            [(one.key, one.started_at, one.record()) for one in words if one.started_at],
        )

    def of(self, sandbox_id: str) -> list[Record]:
        """What is known of a sandbox's last commands, oldest first."""
        return self._store.of(sandbox_id)


def record_of(
    request_id: str, command: str, started_at: float, checkpoint: str | None = None
) -> Record:
    """Of a command that has begun."""
    return {
        **({} if checkpoint is None else {"checkpoint": checkpoint}),
        "request_id": request_id,
        "command": command[:COMMAND_CHARACTERS],
        "started_at": round(started_at, 3),
        "returncode": None,
        "output": "",
        "error": "",
    }


def _tail(pieces: Pieces) -> str:
    if not pieces:
        return ""
    return text_of([b"", bytes(pieces[-1][-TAIL_BYTES:])])


class _LastWords(BaseModel):
    """A command as its agent tells of it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    key: str = Field(max_length=600)
    request_id: str = Field(max_length=256)
    command: str = Field(max_length=COMMAND_CHARACTERS)
    started_at: float | None = Field(ge=0, lt=1e11)
    returncode: int | None = Field(ge=0, le=255)
    output: str = Field(max_length=2 * TAIL_BYTES)
    error: str = Field(max_length=2 * TAIL_BYTES)
    checkpoint: str | None = Field(None, pattern=r"^[0-9a-f]{32}$")

    def record(self) -> Record:
        said = record_of(self.request_id, self.command, self.started_at or 0.0, self.checkpoint)
        return said | {
            "returncode": self.returncode,
            "output": _decoded(self.output),
            "error": _decoded(self.error),
        }


def _decoded(text: str) -> str:
    try:
        return text_of([b"", base64.b64decode(text)])
    except (binascii.Error, ValueError):
        return ""
