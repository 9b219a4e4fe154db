"""Routes that run and steer commands, for clients without WebSockets."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import ExitStack

from flask import Blueprint, Response, url_for

from gateway.api.asking.json_bodies import read_json
from gateway.api.rest import answers, server_sent_events
from gateway.api.rest.backend import CommandService
from gateway.api.rest.query_strings import read_query
from gateway.api.rest.server_sent_events import EventStreams
from gateway.api.rest.stoppable_waits import Waiting
from gateway.commands.command_spec import CommandSpec, request_id_of
from gateway.errors import (
    BadFields,
    BadMediaType,
    BadOffset,
    BadRequest,
    BodyTimeout,
    BodyTooLarge,
    CommandFinished,
    CommandNotFound,
    DiskFull,
    EngineFault,
    FeatureMissing,
    GatewayFull,
    GatewayStopping,
    HostToolFailed,
    LineTooLong,
    SandboxBusy,
    SandboxFault,
    SandboxNotFound,
    StdinNotOpen,
    StoreUnavailable,
    TooManyCommands,
    TooManySnapshots,
    TooManyStreams,
    TooMuchUnread,
    UserUnavailable,
)
from gateway.schemas.command_event import CommandEvent, Started
from gateway.schemas.command_result_json import ResultMessage
from gateway.schemas.event_encoder import EncodedEvent, EventEncoder, each_of
from gateway.schemas.models import (
    Command,
    CommandAccepted,
    CommandInput,
    CommandQuery,
    CommandResult,
    CommandRun,
    CommandSignal,
    CommandStarted,
    CommandSummary,
    OutputGap,
    OutputPiece,
    SandboxEnded,
    SocketError,
)
from gateway.schemas.route_documentation import Reply, documented
from gateway.use.place import Place
from gateway.use.sandbox_use import SandboxUses

EVENTS = (CommandStarted, OutputPiece, OutputGap, CommandResult, SocketError, SandboxEnded)

EVENT_FIELDS = (
    "`event` the `type` of the message. `id` says how many bytes of stdout and of stderr have been "
    "told (`12-0`), or `end`."
)

BODY_FAULTS = (BodyTimeout, BodyTooLarge, BadMediaType, BadFields)
FAULTS = (SandboxNotFound, SandboxFault, EngineFault, StoreUnavailable, GatewayStopping)


def blueprint(
    commands: CommandService,
    uses: SandboxUses,
    short_uses: SandboxUses,
    waiting: Waiting,
    streams: EventStreams,
) -> Blueprint:
    """The routes under `/sandboxes/{sandbox_id}/commands`, but for what commands wrote."""
    routes = Blueprint("commands", __name__, url_prefix="/sandboxes/<sandbox_id>/commands")

    @routes.post("")
    @documented(
        summary="Run a command",
        description="Answers with the result when the command has ended. With `background` it "
        "answers as soon as the command runs; with `stream`, or `Accept: text/event-stream`, with "
        "events as output is produced. A client that goes away ends no command, and with `once` "
        "it may ask again.",
        tag="Commands",
        body=CommandRun,
        replies={
            200: Reply(CommandResult, "It has ended.", events=EVENTS, event_fields=EVENT_FIELDS),
            202: Reply(
                CommandAccepted,
                "It runs in the background.",
                headers={"Location": "Address of the command."},
            ),
        },
        errors=(
            *BODY_FAULTS,
            FeatureMissing,
            UserUnavailable,
            TooManyCommands,
            TooManyStreams,
            TooMuchUnread,
            CommandNotFound,
            GatewayFull,
            SandboxBusy,
            TooManySnapshots,
            DiskFull,
            HostToolFailed,
            *FAULTS,
        ),
    )
    def run(sandbox_id: str) -> Response:
        body = read_json(CommandRun)
        spec = commands.spec(body, request_id_of(body.request_id))
        is_streamed = body.stream or server_sent_events.is_asked_for(instead_of="application/json")
        its_uses = uses if body.background or is_streamed else short_uses
        with ExitStack() as held:
            use = held.enter_context(its_uses.of(sandbox_id))
            use.may_run = True
            if body.background:
                return _start(use.place, spec)
            if is_streamed:
                return streams.answer(
                    _story(use.place, spec),
                    use=use,
                    held=held,
                    request_id=spec.request_id,
                    begun=spec.handed_over.is_set,
                )
            result = waiting.until(lambda: held.enter_context(commands.run(use.place, spec)))
            use.may_run = False
            return answers.result(result, held)

    def _start(place: Place, spec: CommandSpec) -> Response:
        pid, checkpoint = waiting.until(lambda: commands.start(place, spec))
        # Only one that is not started a second time may have ended already.
        status = found(commands, place, spec.request_id).status if spec.once else "running"
        accepted = CommandAccepted(
            request_id=spec.request_id, status=status, pid=pid, checkpoint=checkpoint
        )
        response = answers.one(accepted, 202, leave_out="checkpoint")
        response.headers["Location"] = url_for(
            "commands.show", sandbox_id=place.sandbox_id, request_id=spec.request_id
        )
        return response

    def _story(place: Place, spec: CommandSpec) -> Generator[EncodedEvent, None, None]:
        followed = commands.follow(place, spec)
        encoder = EventEncoder(spec.request_id, spec.encoding)
        yield from encoder.story(followed, lambda: commands.outcome(place, followed, spec=spec))

    @routes.get("")
    @documented(
        summary="List the commands of a sandbox",
        tag="Commands",
        replies={
            200: Reply(
                list[CommandSummary],
                "Running and lately finished commands, oldest first, as a bare array.",
            )
        },
        errors=(FeatureMissing, *FAULTS),
    )
    def show_all(sandbox_id: str) -> Response:
        with short_uses.of(sandbox_id) as use:
            return answers.many(waiting.until(lambda: commands.list(use.place)))

    @routes.get("/<request_id:request_id>")
    @documented(
        summary="Show a command",
        description="How it stands and, when it has ended, its result.",
        tag="Commands",
        query=CommandQuery,
        replies={200: Reply(Command, "The command as it is now.")},
        errors=(BadFields, CommandNotFound, FeatureMissing, TooMuchUnread, GatewayFull, *FAULTS),
    )
    def show(sandbox_id: str, request_id: str) -> Response:
        query = read_query(CommandQuery)
        with ExitStack() as held:
            place = held.enter_context(short_uses.of(sandbox_id)).place
            summary, result = waiting.until(
                lambda: _state(place, request_id, query.max_output_bytes, held)
            )
            return answers.command(summary, result, held)

    def _state(
        place: Place, request_id: str, cap: int, held: ExitStack
    ) -> tuple[CommandSummary, ResultMessage | None]:
        while True:
            summary = found(commands, place, request_id)
            if summary.status == "running":
                return summary, None
            written = (summary.stdout_bytes, summary.stderr_bytes)
            followed = commands.attach(place, request_id, written)
            try:
                if _is_still(summary, followed):
                    return summary, held.enter_context(commands.outcome(place, followed, cap=cap))
            except BadOffset:
                pass  # another command has taken the id in between

    def _is_still(summary: CommandSummary, followed: Iterable[CommandEvent]) -> bool:
        """Follow a command that has ended to its exit; False when it is not the one of before."""
        with each_of(followed) as events:
            for event in events:
                if isinstance(event, Started) and event.pid != summary.pid:
                    return False
        return True

    @routes.post("/<request_id:request_id>/stdin")
    @documented(
        summary="Write to a command's stdin",
        description="For a command that was started with `interactive` or on a terminal. Answers "
        "when the command, or the buffer of 256 KiB before it, has taken all of it.",
        tag="Commands",
        body=CommandInput,
        replies={204: Reply(description="It was taken.", media_type=None)},
        errors=(
            *BODY_FAULTS,
            CommandNotFound,
            CommandFinished,
            StdinNotOpen,
            LineTooLong,
            FeatureMissing,
            *FAULTS,
        ),
    )
    def write_stdin(sandbox_id: str, request_id: str) -> Response:
        body = read_json(CommandInput)
        with short_uses.of(sandbox_id) as use:
            waiting.until(
                lambda: commands.write_stdin(use.place, request_id, body.content, body.eof)
            )
        return answers.nothing()

    @routes.post("/<request_id:request_id>/signal")
    @documented(
        summary="Signal a command",
        description="To its whole process tree.",
        tag="Commands",
        body=CommandSignal,
        replies={204: Reply(description="It was sent.", media_type=None)},
        errors=(*BODY_FAULTS, CommandNotFound, CommandFinished, FeatureMissing, *FAULTS),
    )
    def send_signal(sandbox_id: str, request_id: str) -> Response:
        signal = read_json(CommandSignal).signal
        with short_uses.of(sandbox_id) as use:
            try:
                waiting.until(lambda: commands.send_signal(use.place, request_id, signal))
            except BadRequest as error:
                refusal = {"loc": ["signal"], "msg": error.detail, "type": "unknown_signal"}
                raise BadFields("there is no such signal", errors=[refusal]) from None
        return answers.nothing()

    return routes


def found(commands: CommandService, place: Place, request_id: str) -> CommandSummary:
    """The latest command with this id. Raises CommandNotFound."""
    listed = commands.list(place, request_id)
    if not listed:
        raise CommandNotFound
    return listed[-1]
