"""The commands behind the edge, in memory: what they write and when they end is the test's say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from gevent.event import Event

from gateway.commands.command_spec import CommandSpec, spec_of
from gateway.errors import BadOffset, CommandFinished, CommandNotFound, GatewayError, StdinNotOpen
from gateway.link.exited import Exited
from gateway.link.follower import CommandEvent, Gap, Output, Started
from gateway.schemas.command_result import Outcome
from gateway.schemas.command_result_json import ResultMessage
from gateway.schemas.models import CommandRequest, CommandSummary
from tests.unit.api.rest.fakes import FakeLease

CAP = 8 * 1024 * 1024


@dataclass
class FakeCommand:
    """`written` are stdout and stderr; of stdout nothing below `kept_from` is left."""

    spec: CommandSpec
    pid: int | None = 42
    written: dict[int, bytes] = field(default_factory=lambda: {1: b"", 2: b""})
    kept_from: int = 0
    returncode: int | None = None
    failure: GatewayError | None = None
    received: list[tuple[bytes, bool]] = field(default_factory=list)
    signals: list[str] = field(default_factory=list)
    changed: Event = field(default_factory=Event)

    def write(self, data: bytes, stream: int = 1) -> None:
        self.written[stream] += data
        self.changed.set()

    def end(self, returncode: int = 0) -> None:
        self.returncode = returncode
        self.changed.set()

    def fail(self, failure: GatewayError) -> None:
        """Whoever follows it gets this."""
        self.failure = failure
        self.changed.set()

    @property
    def sizes(self) -> tuple[int, int]:
        return len(self.written[1]), len(self.written[2])

    def wait(self) -> None:
        """Raises the failure."""
        self.changed.wait()
        self.changed.clear()
        if self.failure is not None:
            raise self.failure

    def summary(self) -> CommandSummary:
        return CommandSummary(
            request_id=self.spec.request_id,
            command=self.spec.command[:200],
            status="running" if self.returncode is None else "finished",
            pid=self.pid,
            started_at=1648371234.567,
            returncode=self.returncode,
            session=None,
            stdout_bytes=self.sizes[0],
            stderr_bytes=self.sizes[1],
        )


class FakeFollowed:
    """Follows a `FakeCommand` from these offsets, a piece at a time."""

    PIECE = 4

    def __init__(self, command: FakeCommand, offsets: tuple[int, int]) -> None:
        self.command = command
        self.offsets = {1: offsets[0], 2: offsets[1]}
        self.is_open = False

    def __iter__(self) -> Iterator[CommandEvent]:
        command = self.command
        self.is_open = True
        try:
            if any(self.offsets[n] > command.sizes[n - 1] for n in (1, 2)):
                raise BadOffset("only so many bytes have been written")
            yield Started(command.pid, {"encoding": command.spec.encoding})
            while True:
                yield from self._output()
                if command.returncode is not None:
                    break
                command.wait()
            yield Exited(command.returncode, None, False, False, command.sizes)
        finally:
            self.is_open = False

    def _output(self) -> Iterator[CommandEvent]:
        for stream, written in self.command.written.items():
            start = self.offsets[stream]
            if stream == 1 and start < self.command.kept_from:
                self.offsets[1] = self.command.kept_from
                yield Gap(1, start, self.command.kept_from)
            while self.offsets[stream] < len(written):
                at = self.offsets[stream]
                piece = written[at : at + self.PIECE]
                self.offsets[stream] += len(piece)
                yield Output(stream, at, piece)


class FakeCommands:
    """`script(command)` is called with each command that is started: it may write and end."""

    def __init__(self) -> None:
        self.all: list[FakeCommand] = []
        self.script: Callable[[FakeCommand], None] = lambda command: command.end()
        self.failure: GatewayError | None = None
        self.lingering: list[float] = []
        self.users = 0
        self.held = 0
        self.followed: list[FakeFollowed] = []

    def add(self, request_id: str, command: str = "true", **fields: Any) -> FakeCommand:
        """A command that somebody has started."""
        request = CommandRequest(command=command, request_id=request_id, **fields)
        self.all.append(FakeCommand(self.spec(request, request_id)))
        return self.all[-1]

    @contextmanager
    def using(self, container_id: str, linger_s: float) -> Iterator[None]:
        assert container_id.startswith("container-of-")
        self.lingering.append(linger_s)
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1

    def spec(self, request: CommandRequest, request_id: str) -> CommandSpec:
        return spec_of(request, request_id, CAP)

    @contextmanager
    def run(self, place: FakeLease, spec: CommandSpec) -> Iterator[ResultMessage]:
        command = self._begin(spec)
        while command.returncode is None:
            command.wait()
        with self._held(command, command.spec.cap, None) as result:
            yield result

    def start(self, place: FakeLease, spec: CommandSpec) -> tuple[int | None, str | None]:
        return self._begin(spec).pid, None

    def follow(self, place: FakeLease, spec: CommandSpec) -> FakeFollowed:
        return self._follow(self._begin(spec), (0, 0))

    def attach(
        self, place: FakeLease, request_id: str, offsets: tuple[int, int] = (0, 0)
    ) -> FakeFollowed:
        return self._follow(self._find(request_id), offsets)

    @contextmanager
    def outcome(
        self,
        place: FakeLease,
        followed: FakeFollowed,
        *,
        spec: CommandSpec | None = None,
        encoding: str | None = None,
        cap: int = CAP,
    ) -> Iterator[ResultMessage]:
        assert followed.command.returncode is not None
        cap = min(cap, followed.command.spec.cap)
        with self._held(followed.command, cap, "result", encoding) as result:
            yield result

    def list(self, place: FakeLease, request_id: str | None = None) -> list[CommandSummary]:
        self._fail()
        listed = [command.summary() for command in self.all]
        return [one for one in listed if request_id in (None, one.request_id)]

    def send_signal(self, place: FakeLease, request_id: str, signal: str) -> None:
        self._running(request_id).signals.append(signal)

    def write_stdin(self, place: FakeLease, request_id: str, data: bytes, eof: bool) -> None:
        command = self._running(request_id)
        if "interactive" not in command.spec.options:
            raise StdinNotOpen
        command.received.append((data, eof))

    def _begin(self, spec: CommandSpec) -> FakeCommand:
        self._fail()
        known = [command for command in self.all if command.spec.key == spec.key]
        if known:
            return known[0]
        spec.handed_over.set()
        self.all.append(FakeCommand(spec))
        self.script(self.all[-1])
        return self.all[-1]

    def _follow(self, command: FakeCommand, offsets: tuple[int, int]) -> FakeFollowed:
        self.followed.append(FakeFollowed(command, offsets))
        return self.followed[-1]

    @contextmanager
    def _held(
        self, command: FakeCommand, cap: int, kind: Any, encoding: str | None = None
    ) -> Iterator[ResultMessage]:
        pieces = tuple([written[:cap]] for written in command.written.values())
        exited = Exited(command.returncode or 0, None, False, False, command.sizes)
        self.held += 1
        try:
            yield ResultMessage(
                command.spec.command,
                command.spec.request_id,
                Outcome(exited, pieces),
                encoding or command.spec.encoding,
                with_type=kind is not None,
            )
        finally:
            self.held -= 1

    def _find(self, request_id: str) -> FakeCommand:
        self._fail()
        found = [command for command in self.all if command.spec.request_id == request_id]
        if not found:
            raise CommandNotFound
        return found[-1]

    def _running(self, request_id: str) -> FakeCommand:
        command = self._find(request_id)
        if command.returncode is not None:
            raise CommandFinished
        return command

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class FakeCommandWatcher:
    """Keeps leases, and never gives them back."""

    def __init__(self) -> None:
        self.kept: list[FakeLease] = []

    def keep(self, lease: FakeLease) -> None:
        self.kept.append(lease)
