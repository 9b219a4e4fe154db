"""Run commands by one docker exec each, for images without python3.

The same interface as over the link, without what an engine cannot give: the command cannot be
killed or followed, and its result is lost with the gateway.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from gevent.event import Event

from gateway.agent.surroundings import GIVEN
from gateway.engine.container_hardening import ROOT_USER
from gateway.engine.interface import Engine
from gateway.errors import CommandLost, EngineRefused
from gateway.link.dial import Known
from gateway.link.exited import Exited
from gateway.link.users import parsed
from gateway.process.byte_budget import Budget
from gateway.schemas.command_result import HeadAndTail, Outcome
from gateway.use.place import Place

_PROBE = (
    "if [ -x /bin/bash ]; then echo /bin/bash; else echo /bin/sh; fi; "
    'if [ -d "$HOME" ]; then echo "$HOME"; else echo /; fi'
)
"""Prints the shell to use and the user's home directory, a line each."""

SHELLS_REMEMBERED = 1000


@dataclass(frozen=True)
class _Shell:
    """How commands are run in one container. `given` is what its user gave as environment."""

    path: str
    home: str
    given: Mapping[str, str]

    def argv(self, command: str) -> list[str]:
        # "--": a command that begins with a dash is no option of the shell's.
        argv = [self.path, "-c", "--", command]
        if not self.given:
            return argv
        own = " ".join(shlex.quote(GIVEN + name) for name in self.given)
        return ["/bin/sh", "-c", f'unset {own}; exec "$@"', *argv[:1], *argv]


class DockerExecRunner:
    """Runs commands in sandboxes without an agent. `known_of` a container says whom they run as,
    and may raise the engine's errors."""

    def __init__(self, engine: Engine, budget: Budget, known_of: Callable[[str], Known]) -> None:
        self._engine = engine
        self._budget = budget
        self._known_of = known_of
        self._shells: dict[str, _Shell] = {}

    @contextmanager
    def run(self, place: Place, command: str, cap: int, handed_over: Event) -> Iterator[Outcome]:
        """Run `command` to its end; within the block its outcome counts against the budget.

        The engine drops what is not read at once, so output never waits for room there: where
        there is none, less of it is kept than `cap`.

        `handed_over` is set as soon as the engine has started it.
        Raises CommandLost when the exit status is unknown, and the engine's errors.
        """
        shell = self._shell_of(place.container_id)
        argv = shell.argv(command)
        taken = 0

        def grow(size: int) -> int:
            nonlocal taken
            granted = self._budget.try_take(place.owner, size)
            taken += granted
            return granted

        try:
            yield self._read(
                place.container_id, argv, shell.home, cap, shell.given, handed_over, grow
            )
        finally:
            self._budget.give_back(place.owner, taken)

    def _read(
        self,
        address: str,
        argv: list[str],
        home: str | None,
        cap: int,
        environment: Mapping[str, str] | None = None,
        handed_over: Event | None = None,
        grow: Callable[[int], int] = lambda size: size,
    ) -> Outcome:
        kept = {1: HeadAndTail(cap, grow), 2: HeadAndTail(cap, grow)}
        container_id, is_root = parsed(address)
        user = ROOT_USER if is_root else self._known_of(container_id).user
        with contextlib.closing(
            self._engine.open_run(container_id, argv, user, home, environment)
        ) as process:
            if handed_over is not None:
                handed_over.set()
            for piece in process.output():
                if piece.stream in kept:
                    kept[piece.stream].append(piece.data)
            try:
                returncode = process.returncode()
            except EngineRefused as error:
                raise CommandLost(error.detail) from error
        sizes = kept[1].size, kept[2].size
        return Outcome(
            Exited(returncode, None, False, False, sizes),
            (kept[1].pieces(), kept[2].pieces()),
        )

    def warm_up(self, container_id: str) -> None:
        """Find out the container's shell and home directory, once."""
        self._shell_of(container_id)

    def _shell_of(self, address: str) -> _Shell:
        known = self._shells.get(address)
        if known is None:
            probe = self._read(address, ["/bin/sh", "-c", _PROBE], None, 4096)
            lines = b"".join(probe.pieces[0]).decode("utf-8", "replace").splitlines()
            if probe.exited.returncode != 0 or len(lines) != 2:
                raise CommandLost("the image has no usable /bin/sh")
            environment = self._engine.inspect(parsed(address)[0]).env
            given = {
                name[len(GIVEN) :]: value
                for name, value in environment.items()
                if name.startswith(GIVEN)
            }
            known = _Shell(lines[0], lines[1], given)
            while len(self._shells) >= SHELLS_REMEMBERED:
                del self._shells[next(iter(self._shells))]
            self._shells[address] = known
        return known
