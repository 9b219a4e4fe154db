"""Operations on commands: start, read, list, signal, resize."""

from .. import surroundings
from ..processes import proctree
from .input import InputWrite
from .reader import Reader
from .table import OtherUser, Refused

MAX_RUNNING = 4096
LISTED = 200

PROCESSES_BYTES = 256 * 1024
"""Of words and variables in one list."""


class CommandOperations:
    """What may be asked of commands. `runner` runs them, `retention` knows them."""

    def __init__(self, runner, retention):
        self._runner = runner
        self._retention = retention

    def table(self):
        """The operations by name."""
        return {
            "run": self._run,
            "attach": self._attach,
            "list": self._list,
            "processes": self._processes,
            "delivered": self._delivered,
            "last_words": self._last_words,
            "signal": self._signal,
            "resize": self._resize,
            "stdin": self._stdin,
        }

    def _run(self, channel, message):
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
            if not surroundings.is_own_user(message.get("user")):
                raise OtherUser(message["user"])
            command = self._runner.start(key, message)
        return self._read(channel, command, message)

    def _attach(self, channel, message):
        """Read a command that somebody else started."""
        return self._read(channel, self._command(message), message, with_meta=True)

    def _read(self, channel, command, message, with_meta=False):
        """A reader. `with_meta`: the gateway is told what it noted about the command."""
        mode = message["mode"]
        if mode == "detached":
            channel.tell(event="started", pid=command.pid)
            return None
        offsets = [int(offset) for offset in message.get("offsets", (0, 0))]
        for offset, (_stream, log) in zip(offsets, command.logs):
            if not 0 <= offset <= log.size:
                raise Refused("bad_offset", "only %d bytes have been written" % log.size)
        if message.get("undelivered"):
            offsets = list(command.delivered_to)
        if message.get("tail") is not None:
            offsets = [max(0, log.size - int(message["tail"])) for _stream, log in command.logs]
            self._runner.resize_to(command, message.get("tty"))
        follow, cap = mode == "follow", int(message.get("cap", 0))
        got_on = self._runner.output.resume
        reader = Reader(channel, command, follow, cap, offsets, got_on, with_meta)
        command.readers.append(reader)
        return reader

    def _command(self, message):
        if "key" in message:
            command = self._retention.by_key(message["key"])
        elif "pid" in message:
            command = self._retention.by_pid(message["pid"])
        elif "tag" in message:
            command = self._retention.by_tag(message["tag"])
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

    def _list(self, channel, message):
        if "request_id" in message:
            commands = [self._retention.by_request(message["request_id"])]
        else:
            commands = self._retention.latest(LISTED)
        summaries = [command.summary() for command in commands if command is not None]
        channel.tell(event="commands", commands=summaries)

    def _processes(self, channel, message):
        """What runs, and how it was started; of what is long, only as much as fits."""
        told, left = [], PROCESSES_BYTES
        for command in self._retention.running()[-int(message["count"]) :]:
            left -= command.start.size + min(len(command.text), 200)
            told.append(_process(command, whole=left >= 0))
        channel.tell(event="processes", processes=told)

    def _delivered(self, channel, message):
        """A gateway's client has had the output so far."""
        command = self._retention.by_key(message["key"])
        if command is not None:
            offsets = [int(offset) for offset in message["offsets"]]
            command.has_delivered(offsets, [int(offset) for offset in message["instead_of"]])
        channel.tell(event="done")

    def _last_words(self, channel, message):
        latest = self._retention.latest(int(message["count"]))[-int(message["count"]) :]
        size = int(message["bytes"])
        said = [command.last_words(size) for command in latest]
        channel.tell(event="commands", commands=said)

    def _signal(self, channel, message):
        command = self._running(message)
        number = proctree.signal_number(message["signal"])
        if number is None:
            raise Refused("bad_request", "no signal %r" % (message["signal"],))
        channel.tell(event="done", reached=self._runner.signals.send(command, number))

    def _resize(self, channel, message):
        command = self._running(message)
        if not self._runner.resize(command, int(message["cols"]), int(message["rows"])):
            raise Refused("no_terminal", "the command has no terminal")
        channel.tell(event="done")

    def _stdin(self, channel, message):
        """The bytes come on stream 0 of the channel."""
        write_id, end = str(message["write_id"]), bool(message.get("end"))
        command = self._running(message)
        if message.get("to_terminal") not in (None, command.terminal):
            if command.terminal:
                raise Refused("no_stdin", "the command has a terminal, and no other input")
            raise Refused("no_terminal", "the command has no terminal")
        return InputWrite(channel, self._runner.input, command, write_id, end)


def _process(command, whole):
    """What is told of one; `whole` also how it was started."""
    start = command.start
    told = {"pid": command.pid, "tag": start.tag, "command": command.text[:200]}
    if whole:
        told["argv"], told["env"], told["cwd"] = start.argv, start.env, start.cwd
    return told
