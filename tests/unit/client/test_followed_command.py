"""A command's output over connections that break: every byte once, in order."""

from __future__ import annotations

import base64
import json
import random
from typing import Any

import pytest

from gateway.client.api_error import ApiError, ConnectionLost, WaitTimeout
from gateway.client.core.collected_output import CollectedOutput
from gateway.client.core.followed_command import GOES_ON, FollowedCommand
from gateway.client.core.steps import Answer
from gateway.client.error_codes import BY_CODE, CommandLost, FeatureMissing, SandboxNotFound
from gateway.client.models.commands import CommandStarted, OutputGap, OutputPiece
from tests.unit.client.steps import LOST, Script, answered, events, problem

OPENED = Answer(200)
STARTED = {"type": "started", "request_id": "r", "pid": 7}
RESULT = {"type": "result", "returncode": 0, "command": "c", "output": "", "error": ""}
START = {"command": "c", "request_id": "r", "once": True, "stream": True}


def _out(offset: int, data: bytes, stream: str = "stdout") -> dict[str, Any]:
    return {"type": stream, "offset": offset, "data": base64.b64encode(data).decode()}


def _followed(script: Script, **options: Any) -> FollowedCommand:
    timeout_s = options.pop("timeout_s", 60.0)
    return FollowedCommand(script.retrying(timeout_s), "s", "r", START, **options)


def _text(told: list[Any], stream: str = "stdout") -> bytes:
    pieces = [one for one in told if isinstance(one, OutputPiece) and one.stream == stream]
    return b"".join(piece.data for piece in pieces)


def test_what_comes_again_is_told_once() -> None:
    """A gateway that was killed does not know what its client has: the offsets do."""
    script = Script(
        [
            *(OPENED, events(STARTED, _out(0, b"abc")), LOST),
            *(OPENED, events(STARTED, _out(0, b"abcde"), _out(5, b"f")), b""),
            *(OPENED, events(_out(4, b"efg"), _out(0, b"!", "stderr"), RESULT)),
        ]
    )
    followed = _followed(script)

    told = script.follow(followed.story())

    assert told[0] == CommandStarted(7)
    assert sum(isinstance(one, CommandStarted) for one in told) == 1
    assert (_text(told), _text(told, "stderr")) == (b"abcdefg", b"!")
    assert followed.result is not None
    assert (followed.result.stdout, followed.result.stderr) == (b"abcdefg", b"!")
    assert [request.method for request in script.requests] == ["POST", "GET", "GET"]
    assert script.requests[1].query == {"stdout": 3, "stderr": 0, "encoding": "base64"}


def test_a_start_that_may_have_arrived_is_sent_again_with_once() -> None:
    """Until it is known to run; then it is attached to."""
    script = Script([LOST, OPENED, b"", OPENED, LOST, OPENED, events(STARTED, RESULT)])

    script.follow(_followed(script).story())

    assert [request.json for request in script.requests] == [START] * 4


@pytest.mark.parametrize("seed", range(20))
def test_any_cuts_leave_the_stream_as_it_was(seed: int) -> None:
    """Pieces of any size, cut anywhere, repeated from anywhere before."""
    chance = random.Random(seed)
    wanted = chance.randbytes(3000)
    answers: list[Any] = []
    have = 0
    while have < len(wanted):
        begins = chance.randrange(0, have + 1)
        stream = events(STARTED)
        position = begins
        for _ in range(chance.randrange(1, 5)):
            piece = wanted[position : position + chance.randrange(1, 500)]
            stream += events(_out(position, piece)) if piece else b""
            position += len(piece)
        cut = chance.randrange(len(stream) + 1)
        whole = stream[:cut].rpartition(b"\n\n")[0]
        told = [line for line in whole.split(b"\n") if line.startswith(b"data:")]
        for line in told:
            message = json.loads(line[5:])
            if message["type"] == "stdout":
                size = len(base64.b64decode(message["data"]))
                have = max(have, message["offset"] + size)
        answers += [OPENED, *([stream[:cut]] if cut else []), chance.choice([LOST, b""])]
    answers += [OPENED, events(STARTED, RESULT)]
    script = Script(answers)
    followed = _followed(script, timeout_s=1e9)

    assert _text(script.follow(followed.story())) == wanted
    assert followed.result is not None
    assert followed.result.stdout == wanted


def test_a_gap_is_told_and_passed() -> None:
    """What is not kept any more is never skipped in silence."""
    gap = {"type": "gap", "stream": "stdout", "from": 3, "to": 10}
    script = Script([OPENED, events(STARTED, _out(0, b"abcd"), gap, _out(10, b"z"), RESULT)])
    followed = _followed(script)

    told = script.follow(followed.story())

    assert OutputGap("stdout", 4, 10) in told
    assert followed.result is not None
    assert followed.result.stdout == b"abcdz"
    assert not followed.result.is_complete


@pytest.mark.parametrize("code", sorted(GOES_ON))
def test_after_these_errors_it_is_attached_again(code: str) -> None:
    """The command goes on; only this stream does not."""
    assert code in BY_CODE
    error = {"type": "error", "code": code, "message": "m"}
    script = Script([OPENED, events(STARTED, error), OPENED, events(RESULT)])
    followed = _followed(script)

    script.follow(followed.story())

    assert followed.result is not None


def test_other_errors_end_it() -> None:
    """Nor is the return code made up."""
    lost = {"type": "error", "code": "command_lost", "message": "m"}
    script = Script([OPENED, events(STARTED, lost)])
    followed = _followed(script)
    with pytest.raises(CommandLost):
        script.follow(followed.story())
    assert followed.result is None

    ended = {"type": "ended", "reason": "oom"}
    script = Script([OPENED, events(STARTED, ended)])
    with pytest.raises(SandboxNotFound) as raised:
        script.follow(_followed(script).story())
    assert raised.value.ended is not None
    assert raised.value.ended.reason == "oom"


def test_it_gives_up_when_nothing_comes_for_the_whole_timeout() -> None:
    """But not while there is progress: that begins the time anew."""
    broken = [OPENED, LOST]
    script = Script([OPENED, events(STARTED), LOST, *broken * 99])
    with pytest.raises(ConnectionLost):
        script.follow(_followed(script).story())
    assert 55 < script.now < 80

    progress = [
        one for n in range(60) for one in (OPENED, events(_out(n, b"x")), LOST, *broken * 3)
    ]
    script = Script([OPENED, events(STARTED), LOST, *progress, OPENED, events(RESULT)])
    followed = _followed(script)
    assert _text(script.follow(followed.story())) == b"x" * 60


def test_a_refusal_is_raised() -> None:
    """422, for example."""
    script = Script([problem(422, "invalid_fields")])
    with pytest.raises(ApiError):
        script.follow(_followed(script).story())


def test_a_deadline_ends_the_wait_and_not_the_command() -> None:
    """It can be waited for again, from where it stood."""
    script = Script([OPENED, events(STARTED, _out(0, b"ab")), LOST])
    followed = _followed(script)
    with pytest.raises(WaitTimeout):
        script.follow(followed.story(deadline=0.0))

    script.answers = [OPENED, events(_out(2, b"c"), RESULT)]
    script.follow(followed.story())
    assert followed.result is not None
    assert followed.result.stdout == b"abc"


def test_why_it_could_not_be_run_stands_in_the_result() -> None:
    """It did not write that itself."""
    said = base64.b64encode(b"no such directory").decode()
    script = Script([OPENED, events({**RESULT, "returncode": 126, "error": said})])
    followed = _followed(script)
    script.follow(followed.story())

    assert followed.result is not None
    assert (followed.result.returncode, followed.result.error) == (126, "no such directory")


@pytest.mark.parametrize("piece", [1, 7, 1000, 100_000])
def test_memory_is_bounded_and_what_is_left_out_is_told(piece: int) -> None:
    """Head and tail are kept, as the gateway does."""
    wanted = random.Random(1).randbytes(300_000)
    collected = CollectedOutput(1000)
    for start in range(0, len(wanted), piece):
        collected.add(OutputPiece("stdout", start, wanted[start : start + piece]))

    assert collected.value("stdout") == wanted[:500] + wanted[-500:]
    assert collected.left_out_bytes == {"stdout": 299_000, "stderr": 0}


def test_an_image_without_python_runs_commands_too() -> None:
    """By their result alone, and sent once; what needs the agent is refused as it was."""
    missing = problem(422, "feature_missing")
    output = base64.b64encode(b"out").decode()
    result = answered(200, {**RESULT, "returncode": 3, "output": output})
    script = Script([missing, result])
    followed = _followed(script)

    assert _text(script.follow(followed.story())) == b"out"
    assert followed.result is not None
    assert (followed.result.stdout, followed.result.returncode) == (b"out", 3)
    assert not script.requests[1].is_repeatable
    assert not {"once", "stream"} & set(script.requests[1].json)

    script = Script([missing])
    with pytest.raises(FeatureMissing):
        script.follow(
            FollowedCommand(script.retrying(), "s", "r", START | {"interactive": True}).story()
        )
