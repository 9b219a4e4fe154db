"""Run, follow and steer commands in a sandbox, by whichever way the sandbox offers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import gevent

from gateway.commands.agent_runner import (
    Following,
    ReconnectingLink,
    call_with_retry,
    collect,
    kept,
    write_with_retry,
)
from gateway.commands.command_list import summaries_of
from gateway.commands.command_metrics import CommandMetrics
from gateway.commands.command_name import Which, fields_of
from gateway.commands.command_spec import CommandSpec, Encoding, spec_of
from gateway.commands.delivery import Delivery
from gateway.commands.docker_exec_runner import DockerExecRunner
from gateway.commands.file_effects import FileEffects
from gateway.commands.flow_control import eager_credit_of
from gateway.commands.history import CommandHistory
from gateway.commands.known_command import Known, known_of
from gateway.commands.processes import MOST, RunningProcess, processes_in
from gateway.commands.run_once import OnceRegister
from gateway.commands.watches import NoWatch, Watch
from gateway.errors import (
    AgentMissing,
    AgentUnavailable,
    CommandNotFound,
    FeatureMissing,
)
from gateway.identity.slots import Slots
from gateway.link.ask import running_commands
from gateway.link.input import InputWriter
from gateway.link.links import Links
from gateway.link.users import ONLY_THE_USER, User, Users, roots
from gateway.metrics import Metrics
from gateway.process.byte_budget import Budget, OneAtATime
from gateway.schemas.command_effects import CommandEffects
from gateway.schemas.command_result import Outcome
from gateway.schemas.command_result_json import ResultMessage
from gateway.schemas.models import CommandRequest, CommandSummary
from gateway.schemas.models.commands import MAX_RESULT_BYTES
from gateway.use.place import Place, PlaceOfUser

ANSWER_S = 1.0

KILLED_S = 2.0


class Commands:
    """Runs commands. One per process; greenlets share it. To be used within `using`.

    Everything raises ContainerGone, AgentUnavailable, the engine's errors and, for commands that
    need an agent where there is none, FeatureMissing.
    """

    def __init__(
        self,
        links: Links,
        docker_exec: DockerExecRunner,
        budget: Budget,
        once: OnceRegister,
        history: CommandHistory,
        max_output_bytes: int,
        metrics: Metrics,
        in_flight: Slots,
        streams: Slots,
        users: Users = ONLY_THE_USER,
    ) -> None:
        self._users = users
        self._in_flight = in_flight
        self._streams = streams
        self._links = links
        self._docker_exec = docker_exec
        self._budget = budget
        self._once = once
        self._history = history
        self._cap = max_output_bytes
        self._metrics = metrics
        self._effects: FileEffects | None = None

    def with_effects(self, effects: FileEffects) -> Commands:
        """The same service, which can also tell what commands do to files."""
        mine = copy.copy(self)
        mine._effects = effects
        return mine

    def for_one_client(self) -> Commands:
        """The same service, of whose budget one client takes no more than one result at a time."""
        mine = copy.copy(self)
        mine._budget = OneAtATime(self._budget)
        return mine

    @contextmanager
    def using(self, container_id: str, linger_s: float = 0.0) -> Iterator[None]:
        """Keep what running commands in this container needs ready, as long as inside and
        `linger_s` seconds longer."""
        with self._links.using(container_id, linger_s):
            yield

    def warm_up(self, container_id: str) -> None:
        """Make the link now, so that the first command need not wait for it."""
        try:
            self._links.get(container_id)
        except AgentMissing:
            self._docker_exec.warm_up(container_id)

    def make_sure(self, container_id: str) -> None:
        """Make the link now, or ask over the one that is there: its container may be frozen.

        Also raises LinkLost, and AgentUnavailable when there is no answer within ANSWER_S.
        """
        if not self._links.alive(container_id):
            self.warm_up(container_id)
            return
        with gevent.Timeout(ANSWER_S, AgentUnavailable("it does not answer in time")):
            running_commands(self._links.get(container_id))

    def spec(self, request: CommandRequest, request_id: str) -> CommandSpec:
        """The request in the form that the other methods take."""
        return spec_of(request, request_id, self._cap)

    @contextmanager
    def run(self, place: Place, spec: CommandSpec) -> Iterator[ResultMessage]:
        """Run a command and give its result; send it within the block, while it is accounted for.

        Raises CommandLost, TooManyCommands and, of a command that has ended, TooMuchUnread and
        GatewayFull, when there is no room for what it wrote.
        """
        command_metrics = CommandMetrics(self._metrics, spec.handed_over)
        with self._in_flight.one(place.owner), command_metrics:
            watch, has_agent = self._watch(place, spec, needs_agent=not spec.is_plain)
            with watch.until_told(), self._outcome(place, spec, watch, has_agent) as outcome:
                command_metrics.ended(outcome.exited, outcome.received)
                effects = watch.told()
                self._history.ended(place.sandbox_id, spec.key, outcome)
                yield ResultMessage(
                    spec.command, spec.request_id, outcome, spec.encoding, effects=effects
                )

    def _outcome(
        self, place: Place, spec: CommandSpec, watch: Watch, has_agent: bool
    ) -> AbstractContextManager[Outcome]:
        self._note(place, spec, watch)
        place = self._of_user(place, spec.user)
        if not has_agent:
            return self._docker_exec.run(place, spec.command, spec.cap, spec.handed_over)
        return collect(
            self._links,
            self._budget,
            place,
            spec.run_message(watch.checkpoint),
            spec.cap,
            watch.daemon,
            spec.handed_over,
            eager_credit_of(self._in_flight.taken(place.owner)),
        )

    def start(self, place: Place, spec: CommandSpec) -> tuple[int | None, str | None]:
        """Start a command that nobody waits for; its pid, None while its session is busy, and the
        checkpoint that was taken before it."""
        watch, _ = self._watch(place, spec, needs_agent=True)
        with watch.until_told():
            message = spec.run_message(watch.checkpoint) | {"mode": "detached"}
            operation = message.pop("op")
            self._note(place, spec, watch)
            spec.handed_over.set()  # or it may be
            address = self._of_user(place, spec.user).container_id
            started = call_with_retry(self._links, address, operation, **message)
            watch.leave()
        self._metrics.command_went_on("unseen")
        pid = started.get("pid")
        return (pid if isinstance(pid, int) else None), watch.checkpoint

    def wait_until_ended(
        self, place: Place, key: str, daemon: str | None, user: User = "user"
    ) -> None:
        """Wait for the end of a command that was started. Raises CommandLost and CommandNotFound
        when it cannot be known."""
        request = {"op": "attach", "key": key}
        with (
            self.using(place.container_id),
            collect(
                self._links, self._budget, self._of_user(place, user), request, 0, daemon, eager=0
            ),
        ):
            pass

    def follow(self, place: Place, spec: CommandSpec) -> Following:
        """Start a command, or find it again, and follow it from its beginning."""

        def begin() -> tuple[dict[str, Any], Watch]:
            watch, _ = self._watch(place, spec, needs_agent=True)
            self._note(place, spec, watch)
            return spec.run_message(watch.checkpoint), watch

        return Following(
            self._links,
            self._of_user(place, spec.user),
            {"op": "run"},
            self._streams,
            handed_over=spec.handed_over,
            command_metrics=CommandMetrics(self._metrics, spec.handed_over),
            begin=begin,
        )

    def attach(self, place: Place, request_id: str, offsets: tuple[int, int] = (0, 0)) -> Following:
        """Follow a command that somebody started, from these offsets of stdout and stderr.

        Iterating raises CommandNotFound and BadOffset.
        """
        place = self._where(place, request_id=request_id)
        request = {"op": "attach", "request_id": request_id}
        return Following(self._links, place, request, self._streams, offsets)

    def attach_undelivered(self, place: Place, which: Which) -> Following:
        """Follow a command from where its output was not delivered to any client yet
        (`delivery`). Iterating raises CommandNotFound."""
        place = self._where(place, **fields_of(which))
        request = {"op": "attach", "undelivered": True, **fields_of(which)}
        return Following(self._links, place, request, self._streams)

    def delivery(self, place: Place, key: str, offsets: tuple[int, int]) -> Delivery:
        """By which it is told how far a client has had the output of the command `key`, which it
        gets from these offsets on."""
        return Delivery(self._links, self._where(place, key=key).container_id, key, offsets)

    def open_terminal(self, place: Place, spec: CommandSpec) -> Following:
        """Follow a terminal (`terminal_of`), started if there is none of this name.

        Who comes later sees what was written lately first, and sets the size.
        """
        place = self._of_user(place, spec.user)
        self._require_agent(place)
        return Following(self._links, place, spec.run_message(), self._streams)

    @contextmanager
    def outcome(
        self,
        place: Place,
        followed: Following,
        *,
        spec: CommandSpec | None = None,
        encoding: Encoding | None = None,
        cap: int = MAX_RESULT_BYTES,
    ) -> Iterator[ResultMessage]:
        """The result of a command that was followed to its exit; `cap` may lower its own.

        `spec` is what it was started with; one that was attached to is known to its agent.
        """
        known = known_of(followed.started, spec)
        known = known.model_copy(update={"cap": min(cap, known.cap)})
        with self._kept_outcome(followed, known) as outcome:
            self._history.ended(place.sandbox_id, known.key, outcome)
            yield ResultMessage(
                known.command,
                known.request_id,
                outcome,
                encoding or known.encoding,
                with_type=True,
                effects=self._effects_of(place, followed, known),
            )

    @contextmanager
    def _kept_outcome(self, followed: Following, known: Known) -> Iterator[Outcome]:
        assert followed.exited is not None
        nothing = Outcome(followed.exited, ([], []))
        if known.cap == 0:
            yield nothing
            return
        request = {"op": "attach", "key": known.key}
        with ExitStack() as stack:
            try:
                outcome = stack.enter_context(
                    collect(
                        self._links,
                        self._budget,
                        followed.place,
                        request,
                        known.cap,
                        followed.daemon,
                    )
                )
            except CommandNotFound:
                outcome = nothing  # forgotten in between, because too much was kept
            yield outcome

    def list(self, place: Place, request_id: str | None = None) -> list[CommandSummary]:
        """Running and recently finished commands, all or those with this id, oldest first."""
        self._require_agent(place)
        which = {} if request_id is None else {"request_id": request_id}
        listed: list[CommandSummary] = []
        for address in self._users.addresses(place.container_id):
            listed += summaries_of(call_with_retry(self._links, address, "list", **which))
        if self._users.has_root(place.container_id):
            listed.sort(key=lambda one: one.started_at or math.inf)
        return [one for one in listed if request_id in (None, one.request_id)]

    def processes(self, place: Place) -> Sequence[RunningProcess]:
        """What runs, and how it was started; of each user the oldest first."""
        self._require_agent(place)
        found: list[RunningProcess] = []
        for address in self._users.addresses(place.container_id):
            told = call_with_retry(self._links, address, "processes", count=MOST)
            found += processes_in(told)
        return found

    def send_signal(self, place: Place, which: Which, signal: str) -> None:
        """Signal a command's process tree. Raises CommandNotFound, CommandFinished, BadRequest."""
        self._tell(place, "signal", **fields_of(which), signal=signal)

    def kill(self, place: Place, which: Which) -> None:
        """KILL a command's process tree, and return when it has ended, if that is within KILLED_S.
        Raises what `send_signal` does."""
        there = self._where(place, **fields_of(which))
        self.send_signal(place, which, "KILL")
        request = {"op": "attach", **fields_of(which)}
        try:
            with (
                gevent.Timeout(KILLED_S, False),
                collect(self._links, self._budget, there, request, 0, eager=0),
            ):
                pass
        except CommandNotFound:
            pass  # it has ended, and is forgotten

    def resize(self, place: Place, which: Which, cols: int, rows: int) -> None:
        """Raises CommandNotFound, CommandFinished, TerminalMissing."""
        self._tell(place, "resize", **fields_of(which), cols=cols, rows=rows)

    def write_stdin(
        self,
        place: Place,
        which: Which,
        data: bytes,
        eof: bool,
        moved: Callable[[], None] = lambda: None,
        *,
        to_terminal: bool | None = None,
    ) -> None:
        """Write to a command's stdin; blocks while the command does not read. `moved` is called
        whenever it has taken some. `to_terminal` says what the input has to be, if that matters.

        Raises CommandNotFound, CommandFinished, StdinNotOpen, TerminalMissing, LineTooLong.
        """
        self._require_agent(place)
        fields = fields_of(which)
        if to_terminal is not None:
            fields["to_terminal"] = to_terminal

        def write(address: str) -> None:
            write_with_retry(self._links, address, InputWriter(fields, data, eof, moved))

        self._with_its_agent(place, write)

    def ended(self, place: Place, spec: CommandSpec, outcome: Outcome) -> None:
        """Note how a command ended that was followed to its exit, with what is left of its output.
        `outcome` notes by itself."""
        self._history.ended(place.sandbox_id, spec.key, outcome)

    def _note(self, place: Place, spec: CommandSpec, watch: Watch) -> None:
        self._history.began(
            place.sandbox_id, spec.key, spec.request_id, spec.command, watch.checkpoint
        )

    def _effects_of(self, place: Place, followed: Following, known: Known) -> CommandEffects:
        """What its result tells of files: by whoever started it, else as it was written down."""
        if followed.effects is not None:
            return followed.effects
        if not known.changes or self._effects is None:
            return CommandEffects(known.checkpoint)
        return self._effects.read(place, known.key, known.checkpoint, is_asked=True)

    def _tell(self, place: Place, operation: str, **arguments: Any) -> None:
        self._require_agent(place)
        self._with_its_agent(
            place, lambda address: call_with_retry(self._links, address, operation, **arguments)
        )

    def _require_agent(self, place: Place) -> None:
        try:
            with kept(self._links, place.container_id):
                self._links.get(place.container_id)
        except AgentMissing:
            raise FeatureMissing() from None

    # --- users ---------------------------------------------------------------------------------

    def require_user(self, place: Place, user: User) -> None:
        """Raises UserUnavailable where commands cannot run as this user."""
        self._of_user(place, user)

    def _of_user(self, place: Place, user: User) -> Place:
        """Where commands of a user run. Raises UserUnavailable."""
        if user == "user":
            return place
        address = self._users.address(place.container_id, user)
        return PlaceOfUser(place.sandbox_id, address, place.owner)

    def _where(self, place: Place, **named: Any) -> Place:
        """Where a command is that is known by its name only: it may be root's."""
        self._require_agent(place)
        if not self._users.has_root(place.container_id):
            return place
        try:
            call_with_retry(self._links, place.container_id, "attach", mode="detached", **named)
        except CommandNotFound:
            return self._of_user(place, "root")
        return place

    def _with_its_agent(self, place: Place, work: Callable[[str], object]) -> None:
        """Ask the agent of the user for something, and if it does not know the command root's."""
        try:
            work(place.container_id)
        except CommandNotFound:
            if not self._users.has_root(place.container_id):
                raise
            work(roots(place.container_id))

    def _watch(self, place: Place, spec: CommandSpec, *, needs_agent: bool) -> tuple[Watch, bool]:
        """See to what a command asks for before it starts; and whether there is an agent.

        Raises FeatureMissing where it needs an agent, or files that can be looked at, and there is
        none; and what `FileEffects.before` does.
        """
        daemon = None
        address = self._of_user(place, spec.user).container_id
        try:
            with kept(self._links, address):
                daemon = ReconnectingLink(self._links, address).link().daemon
        except AgentMissing:
            if needs_agent:
                raise FeatureMissing() from None
        if spec.is_watched:
            if self._effects is None:
                raise FeatureMissing()
            return self._effects.before(place, spec, daemon), daemon is not None
        if not spec.once or daemon is None:
            return NoWatch(), daemon is not None
        claim = self._once.claim(place.sandbox_id, spec.request_id, daemon)
        if claim.is_first or self._effects is None:
            return NoWatch(claim.daemon), True
        return self._effects.later(place, spec, claim), True
