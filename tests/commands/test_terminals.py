"""The raw terminal endpoint: bytes both ways, as emulators in browsers speak."""

from __future__ import annotations

import json
import time

import pytest

from tests.support.clients import Refused, connect
from tests.support.gateway_process import GatewayProcess
from tests.support.screen import Screen

pytestmark = pytest.mark.engine


def test_a_raw_terminal_echoes_bytes(shared_gateway: GatewayProcess, module_sandbox: str) -> None:
    """What terminal emulators in browsers speak: bytes in, bytes out."""
    screen = Screen(shared_gateway, module_sandbox, "?cols=100&rows=30")
    screen.type("echo $((6*7)) äöü; stty size\r".encode())
    screen.shows("42 äöü\r\n".encode())
    screen.shows(b"30 100\r\n")
    screen.resize(90, 20)
    screen.clear()
    screen.type(b"stty size\r")
    screen.shows(b"20 90\r\n")
    screen.type(b"exit\r")
    screen.result()


def test_the_end_is_a_result_and_a_close(
    shared_gateway: GatewayProcess, module_sandbox: str
) -> None:
    """The viewer can say how it ended instead of guessing."""
    screen = Screen(shared_gateway, module_sandbox)
    screen.type(b"exit 5\r")
    result = screen.result()
    assert (result["type"], result["returncode"], result["success"]) == ("result", 5, False)
    screen.read_until(lambda: screen.close_code)
    assert screen.close_code == 1000


def test_two_viewers_share_a_terminal(shared_gateway: GatewayProcess, module_sandbox: str) -> None:
    """One types, both see; either may type."""
    query = "?request_id=pair"
    first = Screen(shared_gateway, module_sandbox, query)
    first.type(b"echo shell $$; x=shared\r")
    first.shows(b"shell ")
    second = Screen(shared_gateway, module_sandbox, query)
    second.shows(b"shell ")
    for typist, other in ((first, second), (second, first)):
        first.clear()
        second.clear()
        typist.type(b"echo $x-$((40+2))\r")
        typist.shows(b"shared-42\r\n")
        other.shows(b"shared-42\r\n")
    second.type(b"exit\r")
    assert first.result()["returncode"] == second.result()["returncode"] == 0


@pytest.mark.parametrize("killed", [False, True])
def test_a_reload_returns_to_the_running_shell(own_gateway, killed: bool) -> None:
    """With its recent screen: a closed laptop costs nothing, and neither does a dead gateway."""
    gateway = own_gateway().start_ready()
    sandbox = gateway.create()
    screen = Screen(gateway, sandbox, "?request_id=mine")
    screen.type(b"x=kept; echo pid-$$.\r")
    screen.shows(b"pid-")
    screen.read_until(lambda: b"." in screen.bytes.split(b"pid-")[-1])
    if killed:
        gateway.kill()
        gateway.start_ready()
    screen.leave()
    again = Screen(gateway, sandbox, "?request_id=mine&cols=99&rows=33")
    again.shows(b"x=kept; echo pid-")
    again.clear()
    again.type(b"echo $x.$((1+1)); stty size\r")
    again.shows(b"kept.2\r\n")
    again.shows(b"33 99")


@pytest.mark.parametrize(
    ("program", "drawn", "quit_keys", "redrawn"),
    [("vi -u NONE note", b"~", b"\x1b:q!\r", b"~"), ("top", b"Tasks", b"q", b"Tasks")],
)
def test_full_screen_programs_run_and_redraw(
    shared_gateway: GatewayProcess,
    module_sandbox: str,
    program: str,
    drawn: bytes,
    quit_keys: bytes,
    redrawn: bytes,
) -> None:
    """An editor is the proof of a terminal: modes, sizes, escape sequences and keys."""
    screen = Screen(shared_gateway, module_sandbox, "?cols=80&rows=24")
    screen.type(program.encode() + b"\r")
    screen.shows(drawn)
    time.sleep(0.5)
    screen.clear()
    screen.resize(100, 45)
    screen.shows(redrawn, within_s=10)
    screen.clear()
    screen.type(quit_keys)
    # Top throws away what was typed ahead: the prompt has to be waited for.
    screen.shows(b"$ ")
    screen.type(b"echo back-$((1+1))\r")
    screen.shows(b"back-2")
    screen.type(b"exit\r")
    screen.result()


def test_vi_edits_a_file(shared_gateway: GatewayProcess, module_sandbox: str) -> None:
    """Keys arrive as typed, and the file says so."""
    screen = Screen(shared_gateway, module_sandbox)
    screen.type(b"vi -u NONE letter\r")
    # The editor's own line with the name; the shell has shown it without quotes. From then on the
    # terminal's keys are the editor's.
    screen.shows(b'"letter"')
    screen.type("iwritten by hand äö\x1b:wq\r".encode())
    screen.type(b"echo saved-$((1+1)); exit\r")
    screen.shows(b"saved-2")
    with connect(shared_gateway, module_sandbox) as connection:
        assert connection.output_of("cat letter") == "written by hand äö\n"


@pytest.mark.parametrize("query", ["?cols=0&rows=0", ""])
def test_a_terminal_without_a_size_has_the_usual_one(
    shared_gateway: GatewayProcess, module_sandbox: str, query: str
) -> None:
    """From a pipe, or a terminal that nobody is at, a program finds out nothing."""
    screen = Screen(shared_gateway, module_sandbox, query)
    screen.type(b"stty size; exit\r")
    screen.shows(b"24 80\r\n")


def test_a_terminal_whose_shell_has_ended_opens_anew(
    shared_gateway: GatewayProcess, module_sandbox: str
) -> None:
    """As the README says."""
    first = Screen(shared_gateway, module_sandbox, "?request_id=again")
    first.type(b"echo first-$((1+1)); exit 3\r")
    first.read_until(lambda: first.messages)
    second = Screen(shared_gateway, module_sandbox, "?request_id=again")
    second.type(b"echo second-$((1+1)); exit 4\r")
    second.read_until(lambda: second.messages)

    assert [screen.messages[-1]["returncode"] for screen in (first, second)] == [3, 4]
    assert b"first-2" not in second.bytes


@pytest.mark.parametrize(
    "query", ["?cols=0", "?cols=abc", "?rows=1001", "?cols=80&rows=-1", "?cols=", "?rows=1.5"]
)
def test_a_bad_size_is_refused_before_the_upgrade(
    shared_gateway: GatewayProcess, module_sandbox: str, query: str
) -> None:
    """As every bad parameter over HTTP: a problem document, no socket that closes at once."""
    with pytest.raises(Refused) as refused:
        connect(shared_gateway, f"{module_sandbox}/terminal{query}")
    assert refused.value.status == 422
    assert json.loads(refused.value.body)["code"] == "invalid_fields"


@pytest.mark.parametrize("text", ["no json", '{"command": "ls"}', '{"type": "resize", "cols": 0}'])
def test_text_that_is_no_resize_is_a_bad_request(
    shared_gateway: GatewayProcess, module_sandbox: str, text: str
) -> None:
    """And the terminal stays usable."""
    screen = Screen(shared_gateway, module_sandbox)
    screen.send_text(text)
    screen.read_until(lambda: screen.messages)
    assert screen.messages[-1]["code"] == "bad_request"
    screen.type(b"echo on-$((1+1)); exit\r")
    screen.shows(b"on-2")


def test_a_line_that_the_terminal_would_cut_is_told(
    shared_gateway: GatewayProcess, module_sandbox: str
) -> None:
    """bash reads any length at its prompt; `cat` reads lines, which the kernel cuts at 4,095."""
    screen = Screen(shared_gateway, module_sandbox)
    screen.type(b"x=" + b"y" * 6000 + b"; echo $(echo ${#x})=; stty -echo; echo u''p; cat\n")
    screen.shows(b"6000=")
    screen.shows(b"up\r\n")
    screen.type(b"z" * 5000 + b"\n")
    screen.read_until(lambda: screen.messages)
    assert screen.messages[0]["code"] == "line_too_long"
    screen.type(b"short\n")
    screen.shows(b"short\r\n")
    assert b"zzz" not in screen.bytes
