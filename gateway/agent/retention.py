"""What is kept of finished commands, and for how long."""

import time
from collections import OrderedDict

BY_PID_S = 30.0
"""How long a command that has ended is found by its pid or tag. A pid may then be another's."""

REMEMBERED_KEYS = 10000
"""Of forgotten commands: so many keys still never run twice."""

CHECK_BYTES = 2 * 1024 * 1024
"""How much output may be taken in before the sandbox's common cap is looked at again."""


class Limits:
    """What the gateway configured; the defaults hold until it did."""

    def __init__(self):
        self.stream_bytes = 16 * 1024 * 1024
        self.total_bytes = 256 * 1024 * 1024
        self.retain_s = 600.0
        self.kill_grace_s = 2.0

    def configure(self, message):
        """Take over what a gateway says; what is no positive number is passed over."""
        for name in vars(self):
            value = message.get(name)
            if isinstance(value, (int, float)) and value > 0:
                setattr(self, name, value)

    @property
    def head_bytes(self):
        """Kept of a stream's beginning, for the head of a capped result."""
        return int(self.stream_bytes) // 4

    @property
    def tail_bytes(self):
        """Kept of a stream's end, for whoever comes back to it."""
        return int(self.stream_bytes)


class Retention:
    """Knows all commands by key; forgets finished ones when they are too old, and sooner, like the
    oldest output of others, only when all that is kept is too much. How many they are does not
    matter, so each counts with what it takes itself (`command.OWN_BYTES`)."""

    def __init__(self, limits):
        self._limits = limits
        self._commands = {}
        self._by_request = {}
        self._by_pid = {}
        self._by_tag = {}
        """The latest that began, each."""
        self._finished = OrderedDict()
        """Bytes that each keeps, by command, in the order of their ends."""
        self._finished_bytes = 0
        self._forgotten = {}
        self._taken_in = 0

    def add(self, command):
        """A command was asked for."""
        self._commands[command.key] = command
        self._by_request[command.request_id] = command
        self.took_in(command.kept)

    def began(self, command):
        """It runs, and has a pid."""
        self._by_pid[command.pid] = command
        if command.start.tag is not None:
            self._by_tag[command.start.tag] = command

    def finished(self, command):
        """It has come to its end."""
        self._finished[command] = command.kept
        self._finished_bytes += command.kept

    def by_key(self, key):
        """The command, or None."""
        return self._commands.get(key)

    def by_request(self, request_id):
        """The latest command with this request_id, or None."""
        return self._by_request.get(request_id)

    def by_pid(self, pid):
        """The command that runs under this pid, or did until `BY_PID_S` ago; or None."""
        return _if_fresh(self._by_pid.get(pid))

    def by_tag(self, tag):
        """Likewise, the latest that has this tag."""
        return _if_fresh(self._by_tag.get(tag))

    def running(self):
        """All that have begun and not ended, oldest first."""
        return [c for c in self._commands.values() if not c.finished and c.pid is not None]

    def was_forgotten(self, key):
        """Whether there was such a command, of which nothing is known any more."""
        return key in self._forgotten

    def latest(self, count):
        """The last `count` commands and, of those before, `count` that still run; oldest first."""
        commands = list(self._commands.values())
        running = [command for command in commands[:-count] if not command.finished]
        return running[-count:] + commands[-count:]

    def took_in(self, size):
        """So many bytes of output were appended to some command's log."""
        self._taken_in += size

    def sweep(self):
        """Forget what is due. Finished commands that are being read stay, and those after them."""
        now = time.monotonic()
        while self._finished:
            oldest = next(iter(self._finished))
            if oldest.readers or now - oldest.finished_at <= self._limits.retain_s:
                break
            self._forget(oldest)
        if self._taken_in >= CHECK_BYTES:
            self._taken_in = 0
            self._enforce_total()

    def make_room(self, command):
        """Forget a finished command so that another may run under its key."""
        self._forget(command)
        del self._forgotten[command.key]

    def _forget(self, command):
        self._finished_bytes -= self._finished.pop(command)
        del self._commands[command.key]
        if self._by_request.get(command.request_id) is command:
            del self._by_request[command.request_id]
        for known, name in ((self._by_pid, command.pid), (self._by_tag, command.start.tag)):
            if known.get(name) is command:
                del known[name]
        self._forgotten[command.key] = True
        if len(self._forgotten) > REMEMBERED_KEYS:
            del self._forgotten[next(iter(self._forgotten))]

    def _enforce_total(self):
        running = [c for c in self._commands.values() if c not in self._finished]
        kept = self._finished_bytes + sum(command.kept for command in running)
        excess = kept - self._limits.total_bytes
        if excess <= 0:
            return
        # What somebody has had to its end goes first.
        for command in self._oldest_finished():
            excess -= self._finished[command]
            self._forget(command)
            if excess <= 0:
                return
        for command in sorted(self._commands.values(), key=lambda c: -c.kept):
            dropped = command.shed(excess)
            if command in self._finished:
                self._finished[command] -= dropped
                self._finished_bytes -= dropped
            excess -= dropped
            if excess <= 0:
                break

    def _oldest_finished(self):
        unread = [command for command in self._finished if not command.readers]
        for delivered in (True, False):
            for command in unread:
                if command.delivered == delivered:
                    yield command


def _if_fresh(command):
    if command is None or not command.finished:
        return command
    return command if time.monotonic() - command.finished_at <= BY_PID_S else None
