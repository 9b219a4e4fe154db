"""`process.Process`, byte by byte: what is started, followed and steered over E2B's protocol."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.e2b_wire import STREAM, UNARY, Sandbox, envelope
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess


@pytest.fixture(scope="module")
def sandbox(e2b_gateway: GatewayProcess) -> Iterator[Sandbox]:
    made = Sandbox(e2b_gateway)
    yield made
    made.end()


def _packed(data: bytes) -> str:
    return base64.b64encode(data).decode()


def test_a_stream_is_as_documented(sandbox: Sandbox) -> None:
    """Envelope by envelope, with exactly the content type that clients compare."""
    stream = sandbox.shell("echo hi; echo err >&2; sleep 0.05")
    told = list(stream.messages())

    assert stream.response.headers["Content-Type"] == STREAM
    assert [flags for flags, _ in told] == [0, 0, 0, 0, 2]
    events = [message["event"] for _, message in told[:-1]]
    assert events[0]["start"]["pid"] > 1
    assert {"data": {"stdout": _packed(b"hi\n")}} in events
    assert {"data": {"stderr": _packed(b"err\n")}} in events
    end = {"exitCode": 0, "exited": True, "status": "exit status 0"}
    assert (events[-1], told[-1][1]) == ({"end": end}, {})


@pytest.mark.parametrize(
    ("text", "code", "exited", "status"),
    [
        ("exit 3", 3, True, "exit status 3"),
        ("kill -9 $$", -1, False, "signal: killed"),
        ("kill -TERM $$", -1, False, "signal: terminated"),
        ("exit 137", 137, True, "exit status 137"),
    ],
)
def test_an_end_says_how_it_came(
    sandbox: Sandbox, text: str, code: int, exited: bool, status: str
) -> None:
    """By a signal or by itself, in the words of E2B's own service."""
    assert sandbox.shell(text).whole().end == {
        "exitCode": code,
        "exited": exited,
        "status": status,
        "error": status,
    }


def test_what_cannot_be_started_is_an_error_that_names_it(sandbox: Sandbox) -> None:
    """Not a process that ends with 127."""
    missing = sandbox.start("no-such-program").whole().error
    nowhere = sandbox.start("true", process={"cwd": "/no/such/place"}).whole().error

    assert missing is not None
    assert nowhere is not None
    assert (missing["code"], nowhere["code"]) == ("invalid_argument", "invalid_argument")
    assert "no-such-program" in missing["message"]
    assert "/no/such/place" in nowhere["message"]


def test_the_environment_is_the_users_then_the_requests(sandbox: Sandbox) -> None:
    """And for that command only; words stay as they are."""
    asked = {"envs": {"A": "1", "HOME": "/tmp"}, "cwd": "/usr"}
    text = "echo $A $HOME $USER $LOGNAME $PWD"
    assert sandbox.shell(text, process=asked).whole().stdout == b"1 /tmp user user /usr\n"
    assert sandbox.shell(text).whole().stdout == b"/home/user user user /home/user\n"
    assert sandbox.start("printf", "%s|", "a b", "$A", "*").whole().stdout == b"a b|$A|*|"


def test_what_a_client_that_left_has_not_had_comes_to_the_next_one(sandbox: Sandbox) -> None:
    """In order, nothing lost and nothing twice; after the end for half a minute. The lines are
    apart, for one that comes in the very moment of the leaving counts as had (decision 109)."""
    first = sandbox.shell("for i in $(seq 12); do echo $i; sleep 0.2; done")
    pid = first.pid
    first.until(b"3\n")
    had = first.leave().stdout
    second = sandbox.connect(pid)
    assert second.pid == pid
    second.until(b"7\n")
    had += second.leave().stdout
    eventually(lambda: not sandbox.alive(pid), within_s=20)
    third = sandbox.connect(pid).whole()
    had += third.stdout

    assert had == b"".join(b"%d\n" % n for n in range(1, 13))
    assert (third.exit_code, third.error) == (0, None)
    late = sandbox.connect(pid).whole()
    assert (late.stdout, late.exit_code) == (b"", 0)
    assert pid not in [one["pid"] for one in sandbox.call("List", {}).json()["processes"]]


def test_several_follow_one_process(sandbox: Sandbox) -> None:
    """Each has all of the output from its start on, and the end."""
    first = sandbox.start("cat", stdin=True)
    others = [sandbox.connect(first.pid) for _ in range(3)]
    assert {other.pid for other in others} == {first.pid}
    of = {"process": {"pid": first.pid}}
    assert sandbox.call("SendInput", {**of, "input": {"stdin": _packed(b"hello\n")}}).json() == {}
    assert sandbox.call("CloseStdin", of).json() == {}

    for stream in (first, *others):
        assert (stream.whole().stdout, stream.whole().exit_code) == (b"hello\n", 0)


def test_twenty_megabytes_arrive_exactly(sandbox: Sandbox) -> None:
    """Both streams, whatever the pieces."""
    text = "head -c 20000000 /dev/urandom | tee /tmp/big; sha256sum /tmp/big >&2; rm /tmp/big"
    whole = sandbox.shell(text).whole()

    assert len(whole.stdout) == 20_000_000
    assert whole.stderr.split()[0].decode() == hashlib.sha256(whole.stdout).hexdigest()


def test_output_that_could_not_be_kept_is_told(sandbox: Sandbox) -> None:
    """Never skipped in silence, though this protocol has no word for it."""
    stream = sandbox.shell("sleep 0.3; seq 3200000; echo done >&2; sleep 30")
    pid = stream.pid
    stream.close()
    eventually(lambda: _has_written(sandbox, pid), within_s=30)
    following = sandbox.connect(pid)
    told = following.until(b"done\n", "stderr")
    while b"\n3200000\n" not in told.stdout:
        following.next()
    following.close()
    sandbox.call("SendSignal", {"process": {"pid": pid}, "signal": 9})

    assert b"[sandbox gateway: " in told.stderr
    assert b" bytes of stdout were not kept]\n" in told.stderr


def _written(sandbox: Sandbox, pid: int) -> tuple[int, int]:
    """Bytes that it has written by now, as the native API tells."""
    listed = sandbox.gateway.get(f"/sandboxes/{sandbox.id}/commands").json()
    return next((one["stdout_bytes"], one["stderr_bytes"]) for one in listed if one["pid"] == pid)


def _has_written(sandbox: Sandbox, pid: int) -> bool:
    return _written(sandbox, pid)[1] > 0


def test_input_is_written_as_it_comes(sandbox: Sandbox) -> None:
    """Each message is the process's before the next is sent; keep-alives are nothing."""
    stream = sandbox.start("cat", stdin=True)
    pid = stream.pid
    answered: dict[str, Any] = {}

    def sent() -> Iterator[bytes]:
        yield envelope({"start": {"process": {"pid": pid}}})
        for word in (b"one\n", b"two\n"):
            yield envelope({"data": {"input": {"stdin": _packed(word)}}})
            answered[word.decode()] = stream.until(word).stdout
            yield envelope({"keepalive": {}})

    headers = {**sandbox.headers, "Content-Type": STREAM}
    answer = sandbox.gateway.post("/process.Process/StreamInput", data=sent(), headers=headers)

    assert answer.content == envelope({}).replace(b"{}", b"{}") + b"\x02\x00\x00\x00\x02{}"
    assert answered == {"one\n": b"one\n", "two\n": b"one\ntwo\n"}
    sandbox.call("CloseStdin", {"process": {"pid": pid}})
    assert stream.whole().exit_code == 0


def test_a_terminal_is_steered(sandbox: Sandbox) -> None:
    """Its size, its input, an interrupt for what is in front, its tag; and it is listed."""
    stream = sandbox.start(
        "/bin/bash",
        "-i",
        "-l",
        pty={"size": {"cols": 91, "rows": 33}},
        tag="shell",
        process={"envs": {"TERM": "xterm"}},
    )
    of = {"process": {"tag": "shell"}}

    def type_in(text: str) -> None:
        answer = sandbox.call("SendInput", {**of, "input": {"pty": _packed(text.encode())}})
        assert answer.json() == {}, answer.text

    assert stream.pid
    [listed] = [one for one in sandbox.call("List", {}).json()["processes"] if "tag" in one]
    assert listed == {
        "config": {"cmd": "/bin/bash", "args": ["-i", "-l"], "envs": {"TERM": "xterm"}},
        "pid": stream.pid,
        "tag": "shell",
    }
    type_in("stty size\n")
    stream.until(b"33 91\r\n", "pty")
    assert sandbox.call("Update", {**of, "pty": {"size": {"cols": 70, "rows": 20}}}).json() == {}
    type_in("stty size; bash -c 'echo u''p; sleep 60'\n")
    stream.until(b"20 70\r\n", "pty")
    stream.until(b"up\r\n", "pty")
    type_in("\x03")
    type_in("exit 5\n")
    assert stream.whole().exit_code == 5
    assert list(stream.so_far.output) == ["pty"]


def test_input_where_there_is_none_is_an_error(sandbox: Sandbox) -> None:
    """Not silence. Without `stdin` in the request there is one."""
    deaf = sandbox.start("sleep", "60")
    shown = sandbox.start("cat", pty={})
    piped = sandbox.stream("Start", {"process": {"cmd": "cat"}})
    text = _packed(b"x\n")
    refused = [
        sandbox.call("SendInput", {"process": {"pid": deaf.pid}, "input": {"stdin": text}}),
        sandbox.call("SendInput", {"process": {"pid": deaf.pid}, "input": {"pty": text}}),
        sandbox.call("SendInput", {"process": {"pid": shown.pid}, "input": {"stdin": text}}),
        sandbox.call("CloseStdin", {"process": {"pid": shown.pid}}),
        sandbox.call("Update", {"process": {"pid": piped.pid}, "pty": {"size": {}}}),
    ]
    assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {
        (400, "failed_precondition")
    }
    answer = sandbox.call("SendInput", {"process": {"pid": piped.pid}, "input": {"stdin": text}})
    assert answer.json() == {}
    piped.until(b"x\n")
    for stream in (deaf, shown, piped):
        sandbox.call("SendSignal", {"process": {"pid": stream.pid}, "signal": "SIGNAL_SIGKILL"})
        assert stream.whole().end is not None


def test_a_kill_is_for_the_whole_group(sandbox: Sandbox) -> None:
    """And what it was sent to is gone when it is answered."""
    stream = sandbox.shell("trap '' TERM; sleep 60 & echo $!; wait; sleep 60")
    pid, child = stream.pid, int(stream.until(b"\n").stdout)
    assert sandbox.alive(pid)
    assert sandbox.alive(child)
    of = {"process": {"pid": pid}}
    assert sandbox.call("SendSignal", {**of, "signal": "SIGNAL_SIGTERM"}).json() == {}
    assert sandbox.call("SendSignal", {**of, "signal": "SIGNAL_SIGKILL"}).json() == {}

    assert not sandbox.alive(pid)
    assert not sandbox.alive(child)
    assert stream.whole().end == {
        "exitCode": -1,
        "exited": False,
        "status": "signal: killed",
        "error": "signal: killed",
    }
    again = sandbox.call("SendSignal", {**of, "signal": "SIGNAL_SIGKILL"})
    assert (again.status_code, again.json()["code"]) == (404, "not_found")


def test_the_deadline_is_the_life_of_the_process(sandbox: Sandbox) -> None:
    """With its children, also when nobody listens; of a Connect it is the stream's only."""
    script = "trap '' TERM; sleep 60 & echo $!; wait; sleep 60"
    began = time.monotonic()
    stream = sandbox.shell(script, headers={"connect_timeout_ms": "700"})
    pid, child = stream.pid, int(stream.until(b"\n").stdout)
    unheard = sandbox.shell(script, headers={"connect_timeout_ms": "700"})
    left = unheard.pid
    unheard.close()
    assert stream.whole().error == {
        "code": "deadline_exceeded",
        "message": "context deadline exceeded",
    }
    assert time.monotonic() - began >= 0.7
    for one in (pid, child):
        eventually(lambda one=one: not sandbox.alive(one), within_s=2)
    eventually(lambda: not sandbox.alive(left), within_s=5)

    lasting = sandbox.start("sleep", "60")
    watching = sandbox.connect(lasting.pid, connect_timeout_ms="100").whole()
    assert watching.error is not None
    assert watching.error["code"] == "deadline_exceeded"
    assert sandbox.alive(lasting.pid)
    lasting.close()


def test_silence_has_keepalives(sandbox: Sandbox) -> None:
    """As often as the client says."""
    stream = sandbox.start("sleep", "1.5", headers={"keepalive_ping_interval": "1"})
    assert stream.whole().keepalives == 1


def test_commands_of_both_protocols_are_the_same(sandbox: Sandbox) -> None:
    """What one starts the other lists, follows and ends."""
    mine = sandbox.shell("echo mine; sleep 60", tag="mine")
    assert mine.pid > 1  # it comes first, and `until` reads over it
    mine.until(b"mine\n")
    assert mine.pid
    path = f"/sandboxes/{sandbox.id}/commands"
    native = sandbox.gateway.post(path, json={"command": "echo hi; cat", "background": True}).json()
    listed = {one["pid"]: one for one in sandbox.gateway.get(path).json()}
    request_id = listed[mine.pid]["request_id"]
    output = sandbox.gateway.get(f"{path}/{request_id}/output?wait=0")

    assert output.content == b"mine\n"
    assert listed[mine.pid]["command"] == "/bin/bash -c 'echo mine; sleep 60'"
    assert sandbox.connect(native["pid"]).whole().stdout == b"hi\n"
    told = {one["pid"]: one for one in sandbox.call("List", {}).json()["processes"]}
    assert told[mine.pid]["tag"] == "mine"
    assert native["pid"] not in told  # it has ended
    sandbox.gateway.post(f"{path}/{request_id}/signal", json={"signal": "TERM"})
    assert mine.whole().end is not None
    result = sandbox.gateway.get(f"{path}/{request_id}").json()["result"]
    assert (result["output"], result["returncode"]) == ("mine\n", 143)


@pytest.mark.parametrize(
    ("method", "body", "kind", "code"),
    [
        ("Start", envelope({"process": {}}), STREAM, "invalid_argument"),
        ("Start", envelope({"process": {"cmd": 5}}), STREAM, "invalid_argument"),
        ("Start", envelope({"process": {"cmd": "a", "envs": []}}), STREAM, "invalid_argument"),
        ("Start", envelope({"process": {"cmd": "a\0b"}}), STREAM, "invalid_argument"),
        ("Start", envelope({"process": {"cmd": "x" * 200_000}}), STREAM, "invalid_argument"),
        ("Start", envelope({"process": {"cmd": "a"}, "pty": {"size": {"cols": -1}}}), STREAM, None),
        ("Start", b"\x00\x00\x00\x00\x05{}", STREAM, "invalid_argument"),
        ("Start", b"\x01\x00\x00\x00\x02{}", STREAM, "invalid_argument"),
        ("Start", b"\x00\x7f\x00\x00\x00", STREAM, "resource_exhausted"),
        ("Start", b"{}", UNARY, "unknown"),
        ("Connect", envelope({"process": {"pid": 999999}}), STREAM, "not_found"),
        ("Connect", envelope({"process": {"tag": "nobody"}}), STREAM, "not_found"),
        ("Connect", envelope({"process": {}}), STREAM, "invalid_argument"),
        ("StreamInput", envelope({"data": {"input": {"stdin": "eA=="}}}), STREAM, None),
        ("SendInput", b'{"process":{"pid":999999},"input":{"stdin":"eA=="}}', UNARY, "not_found"),
        ("SendInput", b'{"process":{"pid":1},"input":{"stdin":"*"}}', UNARY, "invalid_argument"),
        ("SendInput", b'{"process":{"pid":1}}', UNARY, "invalid_argument"),
        ("SendSignal", b'{"process":{"pid":1},"signal":"SIGNAL_SIGSTOP"}', UNARY, None),
        ("SendSignal", b'{"process":{"pid":"999999"},"signal":9}', UNARY, "not_found"),
        ("Update", b'{"process":{"pid":999999}}', UNARY, "invalid_argument"),
        ("CloseStdin", b'{"process":{"tag":"nobody"}}', UNARY, "not_found"),
        ("Fly", b"{}", UNARY, "unimplemented"),
    ],
)
def test_bad_calls_are_answered_in_form(
    sandbox: Sandbox, method: str, body: bytes, kind: str, code: str | None
) -> None:
    """JSON with a code and a message, by the status or in the last envelope; never a 500."""
    headers = {**sandbox.headers, "Content-Type": kind}
    answer = sandbox.gateway.post(f"/process.Process/{method}", data=body, headers=headers)
    if answer.status_code == 200:
        assert answer.content[0] == 2, answer.content
        error = json.loads(answer.content[5:])["error"]
    else:
        assert answer.headers["Content-Type"] == UNARY
        error = answer.json()

    assert error["code"] == (code or "invalid_argument"), error
    assert error["message"]
    assert answer.status_code != 500


@pytest.mark.parametrize(
    ("user", "message"), [("nobody", "invalid username"), ("root", "has no root"), ("*", "read")]
)
def test_nothing_is_started_as_somebody_who_is_not_there(
    sandbox: Sandbox, user: str, message: str
) -> None:
    """Rather than as the sandbox's own user, who may be named."""
    packed = user if user == "*" else _packed(f"{user}:".encode())
    refused = sandbox.start("true", headers={"authorization": f"Basic {packed}"}).response
    named = sandbox.shell("id -un", headers={"authorization": f"Basic {_packed(b'user:')}"})

    assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
    assert message in refused.json()["message"]
    assert named.whole().stdout == b"user\n"


def test_a_token_of_another_sandbox_opens_nothing(
    sandbox: Sandbox, e2b_gateway: GatewayProcess
) -> None:
    """Nor none, nor one that was made up."""
    other = Sandbox(e2b_gateway)
    for token in (other.token, "x", other.token[:-1] + "0", None):
        headers = sandbox.headers | {"X-Access-Token": token or ""}
        if token is None:
            del headers["X-Access-Token"]
        answer = e2b_gateway.post("/process.Process/List", json={}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, 401)
    other.end()


def test_streams_end_with_their_sandbox(e2b_gateway: GatewayProcess) -> None:
    """At once, in words that clients look for, and after its health says that it is gone."""
    doomed = Sandbox(e2b_gateway)
    streams = [doomed.start("sleep", "60"), doomed.start("cat", pty={})]
    assert all(stream.pid for stream in streams)
    began = time.monotonic()
    doomed.end()
    for stream in streams:
        error = stream.whole().error
        assert error is not None
        assert error["code"] == "unavailable"
        assert "sandbox was killed or reached its end of life" in error["message"]
        health = e2b_gateway.get("/health", headers={"E2b-Sandbox-Id": doomed.id})
        assert health.status_code == 502
    assert time.monotonic() - began < 10
