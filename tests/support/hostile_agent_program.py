"""The hostile agent itself. It runs inside a sandbox (Python 3.7, standard library only), put there
by `tests.support.hostile_agent`: python3 hostile.py STEPS LIFE_S PROTOCOL. STEPS is a JSON list.

As soon as GO is there, it kills the sandbox's real agent, takes its socket, and does the steps on
every link that a gateway makes, by whichever way, in a process of its own. Each step is an object;
`do` names it, one of the functions `do_…` below. What happens is written to LOG, a line each.
"""

import array
import errno
import json
import os
import signal
import socket
import struct
import sys
import time

PROTOCOL = int(sys.argv[3])
NAME = f"sandbox-agent-{PROTOCOL}"
LOG = "/tmp/hostile.log"
GO = "/tmp/hostile.go"
BATCH_BYTES = 256 * 1024
MAX_PROCESSES = 40

HELLO, OPEN, EVENT, DATA, CREDIT, _, CLOSE = range(1, 8)

ANSWERS = {
    "configure": {"event": "done"},
    "signal": {"event": "done", "reached": 0},
    "resize": {"event": "done"},
    "stdin": {"event": "done"},
    "running": {"event": "running", "running": 0},
    "quiet": {"event": "quiet"},
    "list": {"event": "commands", "commands": []},
    "last_words": {"event": "commands", "commands": []},
}
EXIT = {"event": "exit", "returncode": 0, "stdout": 0, "stderr": 0, "windows": [[], []]}


def note(text):
    with open(LOG, "a") as log:
        log.write(f"{time.time():.3f} {text}\n")


def frame(kind, channel, payload):
    return struct.pack("!IBI", len(payload), kind, channel & 0xFFFFFFFF) + payload


def said(value):
    """`value` as JSON; {"$repeat": [text, times]} in it stands for a long text, and {"$many":
    [value, times]} for a long list."""
    return json.dumps(expanded(value)).encode()


def expanded(value):
    if isinstance(value, dict):
        if "$repeat" in value:
            return value["$repeat"][0] * value["$repeat"][1]
        if "$many" in value:
            return [value["$many"][0]] * value["$many"][1]
        return {name: expanded(one) for name, one in value.items()}
    return [expanded(one) for one in value] if isinstance(value, list) else value


class Link:
    """One connection of a gateway's."""

    def __init__(self, source, target):
        self.source = source
        self.target = target
        self.channel = 1
        """The one that was opened last."""
        self.offsets = {}

    def exactly(self, size):
        taken = b""
        while len(taken) < size:
            piece = os.read(self.source, size - len(taken))
            if not piece:
                raise EOFError()
            taken += piece
        return taken

    def send(self, data):
        view = memoryview(data)
        while view:
            view = view[os.write(self.target, view) :]

    def next_open(self):
        while True:
            size, kind, channel = struct.unpack("!IBI", self.exactly(9))
            payload = self.exactly(size)
            if kind == OPEN:
                self.channel = channel
                self.offsets = {}
                if PROTOCOL > 1:
                    payload = payload[4 : 4 + struct.unpack_from("!I", payload)[0]]
                return json.loads(payload.decode())

    def number(self, step):
        """The channel that a step means: its own `channel`, or the last one `ahead` more."""
        return step.get("channel", self.channel + step.get("ahead", 0))

    def flood(self, step, make):
        """Send what `make` gives, a frame a call: `times` of them, or for `seconds`. If they are to
        be `prepared`, all are made first, so that they come faster than anybody reads."""
        deadline = time.time() + step.get("seconds", 3600)
        left = step.get("times", 1 if "seconds" not in step else 1 << 62)
        while left > 0 and time.time() < deadline:
            batch = bytearray()
            while left > 0 and (len(batch) < BATCH_BYTES or step.get("prepared")):
                batch += make()
                left -= 1
            self.send(batch)

    # --- steps -----------------------------------------------------------------------------------

    def do_hello(self, step):
        """The greeting; `fields` replace those of an honest one."""
        hello = {"protocol": PROTOCOL, "daemon": "hostile", "pid": 1, "running": 0}
        hello.update(step.get("fields", {}))
        self.send(frame(HELLO, 0, said(hello)))

    def do_serve(self, step):
        """Answer as an honest agent until somebody asks for the operation `until`, which is left
        unanswered. `answers` replace honest ones."""
        while True:
            message = self.next_open()
            operation = message.get("op")
            note(f"asked {operation}")
            if operation == step.get("until"):
                return
            answer = step.get("answers", {}).get(operation)
            if answer is None and message.get("mode") == "detached":
                answer = {"event": "started", "pid": 1}
            if answer is None and message.get("mode") == "follow":
                started = {"event": "started", "pid": 1, "meta": {}, "offsets": [0, 0]}
                self.send(frame(EVENT, self.channel, said(started)))
            answer = ANSWERS.get(operation, EXIT) if answer is None else answer
            self.send(frame(EVENT, self.channel, said(answer)))

    def do_event(self, step):
        """An `event` on a channel, `times` or for `seconds`."""
        one = frame(EVENT, self.number(step), said(step["event"]))
        many = one * max(1, min(BATCH_BYTES // len(one), step.get("times", 1 << 20)))
        if "seconds" in step:
            self.flood(step, lambda: many)
        else:
            self.flood(step, lambda: one)

    def do_frame(self, step):
        """A frame of any `kind`, whose payload is put together from [text, times] each."""
        payload = b"".join(text.encode("latin-1") * times for text, times in step["payload"])
        one = frame(step["kind"], self.number(step), payload)
        many = one * max(1, BATCH_BYTES // len(one)) if "seconds" in step else one
        self.flood(step, lambda: many)

    def do_data(self, step):
        """Data frames of `size` bytes at the right offsets; of `streams` in turn."""
        size, channel = step.get("size", 1), self.number(step)
        streams = step.get("streams", [1])
        turn = [0]

        def make():
            stream = streams[turn[0] % len(streams)]
            turn[0] += 1
            offset = self.offsets.get(stream, 0)
            self.offsets[stream] = offset + size
            return frame(DATA, channel, struct.pack("!BQ", stream, offset) + b"x" * size)

        self.flood(step, make)

    def do_gaps(self, step):
        """Gaps of one byte each at the right offsets of stdout; `between` bytes of data after
        each."""
        channel = self.number(step)

        def make():
            at = self.offsets.get(1, 0)
            between = step.get("between", 0)
            gap = {"event": "gap", "stream": 1, "from": at, "to": at + 1}
            made = frame(EVENT, channel, said(gap))
            if between:
                made += frame(DATA, channel, struct.pack("!BQ", 1, at + 1) + b"x" * between)
            self.offsets[1] = at + 1 + between
            return made

        self.flood(step, make)

    def do_raw(self, step):
        """Bytes that are no frames: [text, times] each; `seconds` as long again and again."""
        data = b"".join(text.encode("latin-1") * times for text, times in step["bytes"])
        self.flood(step, lambda: data)

    def do_drip(self, step):
        """The head of a frame of `size` bytes and its payload byte by byte, for `seconds`."""
        self.send(struct.pack("!IBI", step.get("size", 4 << 20), EVENT, self.number(step)))
        deadline = time.time() + step.get("seconds", 1)
        while time.time() < deadline:
            self.send(b" ")

    def do_close(self, step):
        """End the link."""
        raise EOFError()

    def do_hang(self, step):
        """Neither read nor write any more."""
        time.sleep(step.get("seconds", 3600))

    def do_drain(self, step):
        """Read what comes, and say nothing."""
        while os.read(self.source, 65536):
            pass


def take_place():
    """The socket, as soon as its owner is killed."""
    listener = socket.socket(socket.AF_UNIX)
    while True:
        kill_agents()
        for _ in range(1000):
            try:
                listener.bind("\0" + NAME)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
            else:
                listener.listen(128)
                return listener


def kill_agents():
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    arguments = file.read().split(b"\0")
                # Of the daemon, of its carriers, and of what starts them.
                named = any(word.startswith(b"sandbox-agent-") for word in arguments)
                if arguments[0] in (b"sbxgwd", b"sbxgwl") or named:
                    os.kill(int(entry), signal.SIGKILL)
            except OSError:
                pass


def accept(listener):
    """(the way it came, source, target, carrier) of the next link."""
    carrier, _ = listener.accept()
    carrier.settimeout(5)
    try:
        first, ancillary, _, _ = carrier.recvmsg(1, socket.CMSG_SPACE(8))
    except OSError:
        first, ancillary = b"", []
    carrier.settimeout(None)
    if ancillary:
        source, target = array.array("i", ancillary[0][2])
        return "exec", source, target, carrier
    if first != b"L":
        carrier.close()
        return None
    return "direct", os.dup(carrier.fileno()), os.dup(carrier.fileno()), carrier


def serve(link, steps):
    try:
        for step in steps:
            getattr(link, "do_" + step["do"])(step)
        note("done")
        link.do_drain({})
    except (OSError, EOFError) as error:
        note(f"ended {type(error).__name__}")


def main(steps, life_s):
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    ends_at = time.time() + life_s
    while not os.path.exists(GO) and time.time() < ends_at:
        time.sleep(0.002)
    listener = take_place()
    note(f"listening {os.getpid()}")
    children = []
    while time.time() < ends_at:
        listener.settimeout(max(0.01, ends_at - time.time()))
        try:
            taken = accept(listener)
        except OSError:
            continue
        if taken is None:
            continue
        way, source, target, carrier = taken
        note(f"link {way}")
        children = [child for child in children if os.path.exists(f"/proc/{child}")]
        child = os.fork() if len(children) < MAX_PROCESSES else -1
        if child == 0:
            listener.close()
            signal.alarm(int(max(1, ends_at - time.time())))
            serve(Link(source, target), steps)
            os._exit(0)
        if child > 0:
            children.append(child)
        os.close(source)
        os.close(target)
        carrier.close()
    for child in children:
        try:
            os.kill(child, signal.SIGKILL)
        except OSError:
            pass


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), float(sys.argv[2]))
