"""`sgw`, as people and scripts use it; `tests/e2e/test_run_script.py` has more of `sgw exec`."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.keys import ALICE
from tests.support.sgw import COMMAND, Screen, Sgw, environment

START_S = 0.15
"""Of processor time: how long it waits for a processor is not its matter."""


@pytest.fixture(scope="module")
def sgw(shared_gateway: GatewayProcess) -> Sgw:
    """For the shared gateway."""
    return Sgw(shared_gateway.url)


@pytest.fixture(scope="module")
def box(sgw: Sgw) -> Iterator[str]:
    """The name of a sandbox for all tests here."""
    sandbox_id = sgw.text("create", "--name", "sgw-tests", "-l", "test=sgw", "--memory", "512m")
    yield "sgw-tests"
    assert sgw.text("rm", sandbox_id) == sandbox_id


def test_piped_it_prints_what_scripts_need(sgw: Sgw, box: str) -> None:
    """The id alone, tabs, no colour; and JSON everywhere."""
    [shown] = sgw.json("ls", "-l", "test=sgw", "-o", "json")
    sandbox_id = shown["sandbox_id"]
    assert (shown["name"], shown["memory_mb"]) == (box, 512)
    assert sgw.text("ls", "-q", "-l", "test=sgw") == sandbox_id
    assert sgw.text("ls", "-l", "test=sgw").split("\t")[:2] == [sandbox_id, box]
    assert sgw.json("show", box, "-o", "json")["sandbox_id"] == sandbox_id
    assert sgw.json("show", sandbox_id[:9], "-o", "json")["sandbox_id"] == sandbox_id
    assert "\x1b" not in sgw.text("stats", box)
    assert sgw.json("stats", "-o", "json", box)[0]["sandbox_id"] == sandbox_id
    assert json.loads(sgw.text("events", box, "-o", "json").splitlines()[0])["event"] == "created"
    assert sgw.json("api", "GET", f"/sandboxes/{box}")["sandbox_id"] == sandbox_id


@pytest.mark.parametrize("words", [["a b", "$HOME", "*", "", "-x", "'\"", "é"], ["--", "--help"]])
def test_arguments_stay_as_they_are(sgw: Sgw, box: str, words: list[str]) -> None:
    """No shell reads them; options behind `--` are the command's."""
    done = sgw("exec", box, "--", "printf", "%s\\0", *words)

    assert done.stdout.decode().split("\0")[:-1] == words


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["exec", "{}", "--", "sh", "-c", "exit 7"], 7, b""),
        (["exec", "{}", "--", "sh", "-c", "kill -9 $$"], 137, b""),
        (["exec", "{}", "--", "/no/such"], 127, b"No such file"),
        (["exec", "--time-limit", "0.3s", "{}", "--", "sleep", "9"], 124, b""),
        (["exec", "{}"], 2, b"a command is missing"),
        (["exec", "{}", "-t", "--", "true"], 2, b"stand before the sandbox"),
        (["exec", "no-such-box", "--", "true"], 255, b"sandbox_not_found"),
        (["show", "f" * 32], 255, b"sandbox_not_found"),
        (["attach", "{}", "none"], 255, b"command_not_found"),
        (["create", "--cpus", "100000"], 255, b"invalid_fields"),
        (["create", "--memory", "much"], 2, b"no size"),
        (["cp", "a", "b"], 2, b"SANDBOX:PATH"),
        (["cp", "/no/such/file", "{}:x"], 2, b"no such file"),
        (["ls", "--url", "localhost"], 255, b"is no address"),
        (["ls", "--url", "http://127.0.0.1:1"], 255, b"cannot be reached"),
        (["ls", "--context", "none"], 2, b"there is no context"),
        (["rm", "no-such-box"], 255, b"sandbox_not_found"),
        (["rm", "-f", "no-such-box"], 0, b""),
        (["prune", "-l", "test=sgw"], 2, b"--yes"),
        (["nothing"], 2, b"No such command"),
        (["logs", "{}", "none"], 255, b"command_not_found"),
        (["wait", "{}", "none"], 255, b"command_not_found"),
    ],
)
def test_the_status_says_what_happened(
    sgw: Sgw, box: str, words: list[str], status: int, said: bytes
) -> None:
    """The command's own; 2 for wrong usage, 255 for errors of sgw; never 0 without a result."""
    done = sgw(*[box if word == "{}" else word.replace("{}", box) for word in words])

    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_command_has_a_sandbox_of_its_own(sgw: Sgw) -> None:
    """`run` deletes it afterwards, or keeps it and says where it is."""
    before = set(sgw.text("ls", "-q").split())
    done = sgw("run", "-e", "A=b", "--", "sh", "-c", "cat; echo $A; exit 3", stdin=b"in\n")
    assert (done.stdout, done.returncode) == (b"in\nb\n", 3)
    assert set(sgw.text("ls", "-q").split()) == before

    kept = sgw("run", "--keep", "--", "true")
    assert kept.returncode == 0
    [made] = set(sgw.text("ls", "-q").split()) - before
    assert made.encode() in kept.stderr
    sgw.text("rm", made)


def test_a_command_is_found_again(sgw: Sgw, box: str) -> None:
    """`exec -d`, `ps`, `logs`, `attach`, `wait`; without an id the latest is meant."""
    words = ("sh", "-c", "echo out; echo err >&2; sleep 0.5; echo end; exit 6")
    name = sgw.text("exec", "-d", box, "--", *words)
    assert name in sgw.text("ps", box)
    done = sgw("attach", box, name)
    assert (done.stdout, done.stderr, done.returncode) == (b"out\nend\n", b"err\n", 6)
    logs = sgw("logs", box)
    assert (logs.stdout, logs.stderr, logs.returncode) == (b"out\nend\n", b"err\n", 0)
    assert sgw("logs", "-f", box, name).stdout == b"out\nend\n"
    waited = sgw("wait", box, name)
    assert (waited.stdout, waited.returncode) == (b"6\n", 6)
    assert sgw.json("logs", "-o", "json", box, name)["stdout"] == "out\nend\n"
    as_json = sgw("exec", "-o", "json", box, "--", "sh", "-c", "exit 9")
    assert (json.loads(as_json.stdout)["returncode"], as_json.returncode) == (9, 9)


def test_files_and_directories_are_copied(sgw: Sgw, box: str, tmp_path: Path) -> None:
    """In and out, into directories that are there, and by pipes."""
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "data").write_bytes(os.urandom(300_000))
    (source / "run").write_text("#!/bin/sh\n")
    (source / "run").chmod(0o755)

    assert sgw("cp", str(source), f"{box}:tree").returncode == 0
    assert sgw("cp", str(source), f"{box}:tree").returncode == 0  # now it is there
    listed = sgw.text("exec", box, "--", "sh", "-c", "cd tree && find . -type f | sort")
    assert listed.split() == ["./run", "./source/run", "./source/sub/data", "./sub/data"]
    assert sgw("cp", f"{box}:tree/source", str(tmp_path)).returncode == 0
    copied = (tmp_path / "source" / "sub" / "data").read_bytes()
    assert sgw("cp", str(source / "run"), f"{box}:tree/").returncode == 0
    assert sgw("exec", box, "--", "test", "-x", "tree/run").returncode == 0

    piped = sgw("cp", "-", f"{box}:piped", stdin=copied)
    assert piped.returncode == 0, piped.stderr
    assert sgw("cp", f"{box}:piped", "-").stdout == copied
    assert sgw("cp", f"{box}:piped", str(tmp_path / "new" / "name")).returncode == 0
    assert (tmp_path / "new" / "name").read_bytes() == copied
    with Path("/dev/full").open("wb") as full:
        assert sgw("cp", f"{box}:piped", "-", capture_output=False, stdout=full).returncode == 255


def test_snapshots_forks_and_differences(sgw: Sgw, box: str) -> None:
    """By name and by the beginning of an id."""
    sgw.text("exec", box, "--", "sh", "-c", "echo one > state")
    taken = sgw.text("snapshot", "create", box, "sgw-one")
    sgw.text("exec", box, "--", "sh", "-c", "echo two > state")
    assert sgw.text("diff", "--since", "sgw-one", box) == "M /home/user/state"
    assert taken in sgw.text("snapshot", "ls", box)
    copy = sgw.text("fork", box)
    assert sgw.text("exec", copy, "--", "cat", "state") == "two"
    sgw.text("rm", copy)
    sgw.text("restore", box, taken[:10])
    assert sgw.text("exec", box, "--", "cat", "state") == "one"
    assert sgw.text("snapshot", "rm", "sgw-one") == "sgw-one"


def test_a_shell_on_a_terminal(sgw: Sgw, box: str) -> None:
    """Its size, Ctrl-C, Ctrl-P Ctrl-Q and back, and its return code."""
    with Screen(sgw, "shell", box) as screen:
        screen.wait_for(b"$ ")
        screen.type(b"stty size; sleep 50\n")
        screen.wait_for(b"24 80")
        screen.type(b"\x03")
        screen.type(b"echo go''es on\n")
        screen.wait_for(b"goes on")
        _resize(screen.fd, 33, 99)
        os.kill(screen.pid, signal.SIGWINCH)
        screen.type(b"until [ \"$(stty size)\" = '33 99' ]; do :; done; echo re''sized\n")
        screen.wait_for(b"resized")
        screen.type(b"\x10\x11")
        screen.wait_for(b"to return: sgw attach ")
        assert screen.wait() == 0
        words = screen.shown.split()
    with Screen(sgw, "attach", words[0].decode(), words[1].decode()) as screen:
        screen.wait_for(b"goes on")  # what was shown lately
        screen.type(b"exit 5\n")
        assert screen.wait() == 5


def _resize(fd: int, rows: int, cols: int) -> None:
    import fcntl
    import struct
    import termios

    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def test_a_command_on_a_terminal_only_where_there_is_one(sgw: Sgw, box: str) -> None:
    """`-t` in a script is no error."""
    assert sgw("exec", "-it", box, "--", "sh", "-c", "test -t 1; echo $?").stdout == b"1\n"
    with Screen(
        sgw, "exec", "-it", box, "--", "sh", "-c", "test -t 1; echo is=$?; exit 8"
    ) as screen:
        screen.wait_for(b"is=0")
        assert screen.wait() == 8


def test_ctrl_c_interrupts_and_a_second_one_leaves(sgw: Sgw, box: str) -> None:
    """What goes on is said, and how to follow it."""
    stubborn = "trap 'echo no' INT; echo up; for n in $(seq 100); do sleep 0.1; done; exit 4"
    with Screen(sgw, "exec", box, "--", "bash", "-c", stubborn) as screen:
        screen.wait_for(b"up")
        screen.type(b"\x03")
        screen.wait_for(b"no")
        screen.type(b"\x03")
        screen.wait_for(b"to follow it: sgw attach ")
        assert screen.wait() == 130
        words = screen.shown.split()
    sgw(
        "api",
        "POST",
        f"/sandboxes/{box}/commands/{words[1].decode()}/signal",
        "-d",
        '{"signal": "KILL"}',
    )

    with Screen(sgw, "exec", box, "--", "sh", "-c", "echo up; sleep 50") as screen:
        screen.wait_for(b"up")
        screen.type(b"\x03")
        assert screen.wait() == 130


@pytest.mark.timeout(180)
def test_a_shell_comes_back_with_its_gateway(own_gateway: Callable[..., GatewayProcess]) -> None:
    """Killed and started again: the same shell, and its return code."""
    process = own_gateway().start_ready()
    sgw = Sgw(process.url)
    sandbox_id = sgw.text("create")
    with Screen(sgw, "shell", sandbox_id) as screen:
        screen.wait_for(b"$ ")
        screen.type(b"X=5; echo re''ady\n")
        screen.wait_for(b"ready")
        process.kill()
        process.start_ready()
        screen.type(b"echo X''=$X; exit 3\n")
        screen.wait_for(b"X=5", 60)
        assert screen.wait(60) == 3
    sgw.text("rm", sandbox_id)


def test_a_port_of_a_sandbox_is_one_of_this_machine(sgw: Sgw, box: str) -> None:
    """Under an origin of its own."""
    serve = "echo hello > page; exec python3 -m http.server --bind 127.0.0.1 8077"
    name = sgw.text("exec", "-d", box, "--", "sh", "-c", serve)
    words = ("port-forward", "-o", "json", box, "0:8077")
    with sgw.popen(*words, stdout=subprocess.PIPE) as forwarding:
        try:
            assert forwarding.stdout is not None
            url = json.loads(forwarding.stdout.readline())["url"]

            def answers() -> bool:
                try:
                    with urllib.request.urlopen(f"{url}page", timeout=5) as answer:
                        return bool(answer.read() == b"hello\n")
                except OSError:
                    return False

            eventually(answers)
        finally:
            forwarding.kill()
    sgw("api", "POST", f"/sandboxes/{box}/commands/{name}/signal", "-d", '{"signal": "KILL"}')


def test_contexts_name_gateways(sgw: Sgw, keyed: GatewayProcess, tmp_path: Path) -> None:
    """With their keys, for this user alone."""
    own = Sgw("", XDG_CONFIG_HOME=str(tmp_path), GATEWAY_KEY="")
    set_ = own("context", "set", "work", keyed.url, "--key-stdin", stdin=f"{ALICE}\n".encode())
    assert set_.returncode == 0, set_.stderr
    own.text("context", "set", "home", "http://localhost:1")
    file = tmp_path / "sandbox-gateway" / "config.toml"
    assert file.stat().st_mode & 0o777 == 0o600
    assert own.text("context", "ls").splitlines()[1].split("\t")[:2] == ["*", "work"]
    assert ALICE not in own.text("context", "ls", "-o", "json")
    assert own("doctor").returncode == 0
    own.text("context", "use", "home")
    assert own("ls").returncode == 255
    assert own("ls", "--context", "work").returncode == 0
    own.text("context", "rm", "home")
    assert "home" not in file.read_text()
    file.write_text("nonsense")
    assert own("ls").returncode == 255


def test_shells_complete_sandboxes(sgw: Sgw, box: str, shared_gateway: GatewayProcess) -> None:
    """By id and by name."""
    assert "_SGW_COMPLETE" in sgw.text("completion", "bash")
    words = environment(shared_gateway.url, COMP_WORDS="sgw show sgw-t", COMP_CWORD="2")
    words["_SGW_COMPLETE"] = "bash_complete"
    done = subprocess.run(COMMAND, env=words, capture_output=True, text=True, check=False)

    assert box in done.stdout


def test_it_starts_at_once(sgw: Sgw) -> None:
    """Its modules are imported when they are needed."""
    sgw.text("--help")
    times = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert sgw.text("--version")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)

    assert min(times) < START_S
