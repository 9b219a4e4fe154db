"""A command whose effects on files are asked for: from before its start until they are told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from gateway.commands.command_spec import CommandSpec
from gateway.errors import ClientFault, CommandNotFound, TooMuchUnread
from gateway.schemas.command_effects import NO_EFFECTS, CommandEffects
from gateway.use.place import Place

_OF_STARTED = (TooMuchUnread, CommandNotFound)
"""What clients are refused though their command was started: there is no room for what it wrote, or
it has been forgotten since."""


class Watch(Protocol):
    """Of one command that is started, or found again."""

    @property
    def daemon(self) -> str | None:
        """The agent that must run it; None where any may."""

    @property
    def checkpoint(self) -> str | None:
        """The id of the snapshot that was taken before it."""

    def told(self) -> CommandEffects:
        """When it has ended: what is to be told. Raises nothing."""

    def until_told(self) -> Any:
        """A block in which the command is started, waited for and told of. Whoever leaves it
        before has others see to that."""

    def leave(self) -> None:
        """It is started, and nobody waits for it. Does not block."""


class Effects(Protocol):
    """See `gateway.commands.file_effects.FileEffects`."""

    def found_out(self, place: Place, spec: CommandSpec, look: Any) -> CommandEffects: ...

    def not_started(self, place: Place, spec: CommandSpec, checkpoint: Any, look: Any) -> None: ...

    def leave(self, place: Place, spec: CommandSpec, daemon: str | None, look: Any) -> None: ...

    def read(
        self, place: Place, key: str, checkpoint: str | None, *, is_asked: bool
    ) -> CommandEffects: ...


class NoWatch:
    """Of a command that asks for nothing."""

    checkpoint: str | None = None

    def __init__(self, daemon: str | None = None) -> None:
        self.daemon = daemon

    def told(self) -> CommandEffects:
        """Nothing."""
        return NO_EFFECTS

    @contextmanager
    def until_told(self) -> Iterator[None]:
        """Does nothing."""
        yield

    def leave(self) -> None:
        """Does nothing."""


class LaterWatch(NoWatch):
    """Of a `once` command that was started before: it tells what the first one does."""

    def __init__(
        self,
        effects: Effects,
        place: Place,
        spec: CommandSpec,
        daemon: str,
        checkpoint: str | None,
    ) -> None:
        super().__init__(daemon)
        self.checkpoint = checkpoint
        self._effects, self._place, self._spec = effects, place, spec

    def told(self) -> CommandEffects:
        """What the first one told."""
        return self._effects.read(
            self._place, self._spec.key, self.checkpoint, is_asked=self._spec.changes
        )


class FirstWatch:
    """Of a command that nobody has started yet. `checkpoint` and `look` are what was made of what
    it asks for, or None."""

    def __init__(
        self,
        effects: Effects,
        place: Place,
        spec: CommandSpec,
        daemon: str | None,
        checkpoint: Any,
        look: Any,
    ) -> None:
        self.daemon = daemon if spec.once else None
        self.checkpoint: str | None = None if checkpoint is None else checkpoint.snapshot_id
        self._effects, self._place, self._spec = effects, place, spec
        self._taken, self._look = checkpoint, look
        self._is_done = False

    def told(self) -> CommandEffects:
        """By looking at the files again."""
        if self._look is None:
            return CommandEffects(self.checkpoint)
        found = self._effects.found_out(self._place, self._spec, self._look)
        self._is_done = True
        return CommandEffects(self.checkpoint, found.changes, found.missing)

    @contextmanager
    def until_told(self) -> Iterator[None]:
        """See `Watch`."""
        try:
            yield
        except BaseException as error:
            is_refused = isinstance(error, ClientFault) and not isinstance(error, _OF_STARTED)
            if is_refused or not self._spec.handed_over.is_set():
                self._not_started()
            else:
                self.leave()
            raise

    def leave(self) -> None:
        """See `Watch`."""
        if not self._is_done:
            self._is_done = True
            if self._look is not None:
                self._effects.leave(self._place, self._spec, self.daemon, self._look)

    def _not_started(self) -> None:
        if not self._is_done:
            self._is_done = True
            self._effects.not_started(self._place, self._spec, self._taken, self._look)
