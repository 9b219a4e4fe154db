"""What gateways ask of the agent: one method for each operation that an OPEN may name."""

import base64

from gateway.protocol import frames

from ..processes import proctree
from ..processes.stdin import LineTooLong, StdinClosed
from .reader import Reader

MAX_RUNNING = 4096
LISTED = 200

TOO_LONG = "line_too_long"


class Refused(Exception):
    """An operation that cannot be carried out, with a code for the gateway."""

    def __init__(self, code, detail):
        super().__init__(detail)
        self.code = code


class QuietWaiters:
    """Channels that are told when the last running command has ended."""

    def __init__(self):
        self._channels = []

    def add(self, link, channel):
        """Tell this one, too, the next time."""
        self._channels.append((link, channel))

    def forget(self, link):
        """The link has gone."""
        self._channels = [wait for wait in self._channels if wait[0] is not link]

    def tell(self):
        """Nothing runs."""
        for link, channel in self._channels:
            tell(link, channel, event="quiet")
        self._channels = []


class Operations:
    """Carries out operations, with what the daemon owns."""

    def __init__(self, runner, retention, limits, quiet):
        self._runner = runner
        self._retention = retention
        self._limits = limits
        self._quiet = quiet
        self._operations = {
            "run": self._run,
            "attach": self._attach,
            "list": self._list,
            "last_words": self._last_words,
            "signal": self._signal,
            "resize": self._resize,
            "stdin": self._stdin,
            "configure": self._configure,
            "running": self._count_running,
            "quiet": self._wait_quiet,
        }

    def open(self, link, channel, message):
        """Carry out what an OPEN asks for; what cannot be done is refused on its channel."""
        try:
            operation = self._operations.get(message.get("op"))
            if operation is None:
                raise Refused("unknown_operation", "no operation %r" % (message.get("op"),))
            operation(link, channel, message)
        except Refused as refused:
            tell(link, channel, event="refused", code=refused.code, detail=str(refused))
        except (KeyError, TypeError, ValueError) as error:
            tell(link, channel, event="refused", code="bad_request", detail=repr(error))

    def _run(self, link, channel, message):
        """Start a command, or go on reading one: the same key never runs twice."""
        key = str(message["key"])
        command = self._retention.by_key(key)
        if command is not None and command.finished and message.get("anew"):
            self._retention.make_room(command)
            command = None
        if command is None:
            if self._retention.was_forgotten(key):
                raise Refused("forgotten", "it ended too long ago")
            if message.get("resume"):
                raise Refused("unknown_command", "no such command")
            if self._runner.running >= MAX_RUNNING:
                raise Refused("too_many_commands", "%d run" % MAX_RUNNING)
            command = self._runner.start(key, message)
        self._read(link, channel, command, message)

    def _attach(self, link, channel, message):
        """Read a command that somebody else started."""
        self._read(link, channel, self._command(message), message, with_meta=True)

    def _read(self, link, channel, command, message, with_meta=False):
        """Open a reader. `with_meta`: the gateway is told what it noted about the command."""
        mode = message["mode"]
        if mode == "detached":
            tell(link, channel, event="started", pid=command.pid)
            return
        offsets = [int(offset) for offset in message.get("offsets", (0, 0))]
        for offset, (_stream, log) in zip(offsets, command.logs):
            if not 0 <= offset <= log.size:
                raise Refused("bad_offset", "only %d bytes have been written" % log.size)
        if message.get("tail") is not None:
            offsets = [max(0, log.size - int(message["tail"])) for _stream, log in command.logs]
            self._runner.resize_to(command, message.get("tty"))
        follow = mode == "follow"
        cap, credit = int(message.get("cap", 0)), int(message["credit"])
        reader = Reader(link, channel, command, follow, cap, offsets, credit, with_meta)
        command.readers.append(reader)
        link.add(reader)

    def _command(self, message):
        if "key" in message:
            command = self._retention.by_key(message["key"])
        else:
            command = self._retention.by_request(message["request_id"])
        if command is None:
            raise Refused("unknown_command", "no such command, or it ended too long ago")
        return command

    def _running(self, message):
        command = self._command(message)
        if command.finished:
            raise Refused("command_finished", "the command has ended")
        return command

    def _list(self, link, channel, message):
        if "request_id" in message:
            commands = [self._retention.by_request(message["request_id"])]
        else:
            commands = self._retention.latest(LISTED)
        summaries = [command.summary() for command in commands if command is not None]
        tell(link, channel, event="commands", commands=summaries)

    def _last_words(self, link, channel, message):
        latest = self._retention.latest(int(message["count"]))[-int(message["count"]) :]
        size = int(message["bytes"])
        said = [command.last_words(size) for command in latest]
        tell(link, channel, event="commands", commands=said)

    def _signal(self, link, channel, message):
        command = self._running(message)
        number = proctree.signal_number(message["signal"])
        if number is None:
            raise Refused("bad_request", "no signal %r" % (message["signal"],))
        tell(link, channel, event="done", reached=self._runner.signals.send(command, number))

    def _resize(self, link, channel, message):
        command = self._running(message)
        if not self._runner.resize(command, int(message["cols"]), int(message["rows"])):
            raise Refused("no_terminal", "the command has no terminal")
        tell(link, channel, event="done")

    def _stdin(self, link, channel, message):
        command = self._running(message)
        data = base64.b64decode(message["data"])
        try:
            self._runner.input.write(
                command,
                message["write_id"],
                data,
                bool(message.get("end")),
                lambda: tell(link, channel, event="done"),
                lambda: tell(link, channel, event="refused", code=TOO_LONG, detail=""),
            )
        except LineTooLong:
            raise Refused(TOO_LONG, "of what was written before, the end of a line") from None
        except StdinClosed:
            raise Refused("no_stdin", "the command takes no input, or not any more") from None

    def _configure(self, link, channel, message):
        self._limits.configure(message)
        tell(link, channel, event="done")

    def _count_running(self, link, channel, message):
        tell(link, channel, event="running", running=self._runner.running)

    def _wait_quiet(self, link, channel, message):
        self._quiet.add(link, channel)
        if not self._runner.running:
            self._quiet.tell()


def tell(link, channel, **event):
    """Send an EVENT on a channel."""
    link.send(frames.encode_json(frames.EVENT, channel, event))
