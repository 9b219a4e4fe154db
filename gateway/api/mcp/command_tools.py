"""Tools that run commands, and steer those that run."""

from __future__ import annotations

import uuid
from functools import partial

import gevent
from pydantic import ValidationError

from gateway.api.mcp.arguments import ReadOutput, RunCommand, StopCommand, WriteStdin
from gateway.api.mcp.backend import Defaults, Services
from gateway.api.mcp.command_answers import NUMBERS, of_reading, of_run, state
from gateway.api.mcp.failures import ToolFailed
from gateway.api.mcp.kept_output import SLACK, Both, Onwards, follow
from gateway.api.mcp.places import Places
from gateway.api.mcp.tool import (
    GAP,
    NUMBER,
    NUMBER_OR_NULL,
    STATUS,
    TEXT,
    YES_OR_NO,
    Answer,
    Tool,
)
from gateway.commands.command_spec import CommandSpec
from gateway.errors import BadFields, BadRequest, CommandFinished, CommandNotFound, GatewayStopping
from gateway.schemas.models import CommandRequest, CommandSummary
from gateway.use.place import Place

BYTES_PER_CHARACTER = 4
"""Kept for each that may be shown. Escape sequences take some, and so do characters."""

LAST_WORDS_BYTES = 2048
INPUT_S = 10.0
END_S = 3.0

_COMMAND = {"request_id": TEXT, "status": STATUS, "returncode": NUMBER_OR_NULL}
_OUTPUT = {
    **_COMMAND,
    "stdout": TEXT,
    "stderr": TEXT,
    "truncated": YES_OR_NO,
    "next_offset": NUMBER,
}


class CommandTools:
    """The tools, over the services."""

    def __init__(self, services: Services, places: Places, defaults: Defaults) -> None:
        self._services = services
        self._commands = services.commands
        self._places = places
        self._defaults = defaults

    def tools(self) -> list[Tool]:
        return [
            Tool(
                "run_command",
                "Run a shell command and wait up to 45 s; then status is running: go on with "
                "read_output from next_offset. Long output is shortened in its middle.",
                RunCommand,
                self._run,
                _OUTPUT,
                audit="command_start",
                destroys=True,
            ),
            Tool(
                "read_output",
                "Read one stream of a command from a byte offset, in order; waits for more. "
                "gap: bytes no longer kept.",
                ReadOutput,
                self._read,
                _OUTPUT | {"gap": GAP},
                frozenset(("gap",)),
            ),
            Tool(
                "write_stdin",
                "Write to an interactive command.",
                WriteStdin,
                self._write,
                _COMMAND,
                audit="command_stdin",
                destroys=True,
            ),
            Tool(
                "stop_command",
                "Signal a command and all its processes.",
                StopCommand,
                self._stop,
                _COMMAND,
                audit="command_signal",
                destroys=True,
            ),
        ]

    # --- running ---------------------------------------------------------------------------------

    def _run(self, asked: RunCommand) -> Answer:
        spec = self._spec(asked)
        budget = self._defaults.budget(asked.max_chars)
        head_bytes, tail_bytes = budget * BYTES_PER_CHARACTER // 2, budget * BYTES_PER_CHARACTER
        kept = Both(head_bytes, tail_bytes)
        most_bytes = 2 * (head_bytes + int(tail_bytes * SLACK))
        wait_s = self._defaults.wait_s if asked.wait is None else asked.wait
        with (
            self._places.use(asked.sandbox_id, may_go_on=True) as use,
            self._services.held_output.hold(use.place.owner, most_bytes),
        ):
            use.may_run = True
            try:
                self._services.waiting.until(partial(self._follow, use.place, spec, kept, wait_s))
            except GatewayStopping:
                if not kept.is_started:
                    raise
                # It goes on, and whoever asks again needs its request_id.
            use.may_run = kept.exited is None
        return Answer(of_run(spec.request_id, kept, budget))

    def _spec(self, asked: RunCommand) -> CommandSpec:
        given = asked.model_dump(exclude_none=True, exclude={"sandbox_id", "wait", "max_chars"})
        if self._defaults.timeout_s is not None:
            given.setdefault("timeout", self._defaults.timeout_s)
        request_id = uuid.uuid4().hex[:12]  # short: a model has to repeat it
        try:
            request = CommandRequest.model_validate(given | {"request_id": request_id})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            raise ToolFailed(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        return self._commands.spec(request, request_id)

    def _follow(self, place: Place, spec: CommandSpec, kept: Both, wait_s: float) -> None:
        followed = self._commands.follow(place, spec)
        follow(followed, kept, wait_s=wait_s)
        if kept.exited is not None:
            with self._commands.outcome(place, followed, spec=spec, cap=LAST_WORDS_BYTES):
                pass  # it is noted for the sandbox's end record

    # --- reading on ------------------------------------------------------------------------------

    def _read(self, asked: ReadOutput) -> Answer:
        budget = self._defaults.budget(asked.max_chars)
        wait_s = self._defaults.wait_s if asked.wait is None else asked.wait
        most_bytes = budget * BYTES_PER_CHARACTER
        with (
            self._places.command(asked.sandbox_id, asked.request_id) as use,
            self._services.held_output.hold(use.place.owner, most_bytes),
        ):
            place = use.place
            found, now = self._services.waiting.until(
                lambda: self._onwards(place, asked, most_bytes, wait_s)
            )
        return Answer(of_reading(asked, found, now, budget))

    def _onwards(
        self, place: Place, asked: ReadOutput, most: int, wait_s: float
    ) -> tuple[Onwards, CommandSummary]:
        summary = self._found(place, asked.request_id)
        stream = NUMBERS[asked.stream]
        written = [summary.stdout_bytes, summary.stderr_bytes]
        size = written[stream - 1]
        found = Onwards(stream, asked.offset, most)
        if asked.offset > size:
            raise ToolFailed(
                f"offset {asked.offset} is beyond the end: only {size} bytes of {asked.stream} "
                f"were written. Read from next_offset of the answer before, or from {size}.",
                416,
            )
        written[stream - 1] = asked.offset
        if summary.status == "running" or size > asked.offset:
            events = self._commands.attach(place, asked.request_id, (written[0], written[1]))
            follow(events, found, wait_s=wait_s, size=size)
        return found, self._found(place, asked.request_id)

    # --- steering --------------------------------------------------------------------------------

    def _write(self, asked: WriteStdin) -> Answer:
        with self._places.command(asked.sandbox_id, asked.request_id) as use:
            place = use.place
            data = asked.data.encode()

            def write() -> CommandSummary:
                with gevent.Timeout(
                    INPUT_S,
                    ToolFailed(
                        f"The command has not taken all of the input within {INPUT_S:g} s; "
                        "part of it may have been written. See what it waits for with read_output.",
                        409,
                    ),
                ):
                    self._commands.write_stdin(place, asked.request_id, data, asked.eof)
                return self._found(place, asked.request_id)

            return Answer(state(self._services.waiting.until(write)))

    def _stop(self, asked: StopCommand) -> Answer:
        with self._places.command(asked.sandbox_id, asked.request_id) as use:
            place = use.place

            def stop() -> CommandSummary:
                try:
                    self._commands.send_signal(place, asked.request_id, asked.signal)
                except CommandFinished:
                    pass  # as was wanted
                except BadRequest as error:
                    raise BadFields(f"there is no signal {asked.signal}") from error
                now = self._found(place, asked.request_id)
                if now.status == "running":
                    written = (now.stdout_bytes, now.stderr_bytes)
                    events = self._commands.attach(place, asked.request_id, written)
                    follow(events, Both(0, 0), wait_s=END_S)
                return self._found(place, asked.request_id)

            return Answer(state(self._services.waiting.until(stop)))

    def _found(self, place: Place, request_id: str) -> CommandSummary:
        """The latest command of this id. Raises CommandNotFound."""
        listed = self._commands.list(place, request_id)
        if not listed:
            raise CommandNotFound
        return listed[-1]
