"""What a person does to a shell, a session takes: it survives, or says that it has ended."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

import pytest

from tests.support.clients import Connection, connect
from tests.support.eventually import eventually

pytestmark = pytest.mark.engine

_numbers = itertools.count()


@pytest.fixture
def connection(shared_gateway, module_sandbox: str):
    with connect(shared_gateway, module_sandbox) as opened:
        yield opened


@pytest.fixture
def shell(connection: Connection) -> Callable[..., dict]:
    name = f"survival{next(_numbers)}"

    def run(command: str, **fields: object) -> dict:
        return connection.run(command, session=name, **fields)

    return run


SURVIVED = {
    "separators": ["IFS=0; true", "IFS=1", "unset IFS", "IFS=$'\\n0123456789'"],
    "options": [
        *("set -n", "set -u", "set -f", "set -x", "set -v", "set -C", "set -a", "set -k", "set -B"),
        *("set -o posix", "set -P", "set -m", "set -b", "set -H", "set -o history", "set +B"),
        "shopt -s extdebug",
        "shopt -s expand_aliases extglob nullglob failglob nocaseglob dotglob; true",
        *("shopt -u expand_aliases interactive_comments", "shopt -s compat31", "shopt -s lastpipe"),
    ],
    "functions": [
        *("printf() { :; }", "eval() { :; }", "builtin() { :; }", "command() { :; }"),
        *("exec() { :; }", "unset() { :; }", "export() { :; }", "return() { :; }", "exit() { :; }"),
        *("set() { :; }", "trap() { :; }", "test() { false; }", "[() { false; }", "cd() { :; }"),
        *("source() { :; }", "true() { false; }", "false() { true; }"),
        *("function : { false; }; function . { false; }", "enable -n printf export"),
        "__sandbox_status() { false; }; readonly -f __sandbox_status",
        "f() { f; }; FUNCNEST=20; f",
        *("alias eval=false", "alias printf=: exec=: unset=:", "unalias -a"),
    ],
    "traps": [
        *("trap 'true' DEBUG", "trap 'false' DEBUG", "trap 'echo e >&2' ERR", "trap true RETURN"),
        *("trap 'true' EXIT", "trap '' INT", "trap '' TERM HUP", "trap 'true' USR1 EXIT"),
    ],
    "variables": [
        *("PS4='$(echo x)+'; set -x", "PS1='> '; PS2='... '", "PROMPT_COMMAND='echo pc; false'"),
        *("PROMPT_COMMAND=(true false)", "unset PROMPT_COMMAND", "unset PS1 PS2 PS4 _ PIPESTATUS"),
        *("unset PATH", "HOME=/nope", "LANG=xx; LC_ALL=yy", "BASH_ENV=/nope", "export ENV=/nope"),
        *("POSIXLY_CORRECT=1", "unset BASH_VERSION BASHPID LINENO", "readonly LINENO"),
        *("BASH_XTRACEFD=2; set -x", "x=$(head -c 200000 /dev/zero | tr '\\0' a)"),
    ],
    "descriptors and limits": [
        *("exec 3<>/tmp/three", "exec 3>&1 4>&2", "exec 9>&-", "exec <&-", "exec </dev/null"),
        *("exec >&-", "exec 2>&-", "exec >/dev/null; exec >&-", "umask 777", "ulimit -n 20"),
        *("ulimit -n 20; exec 2>/dev/null", "ulimit -f 0", "ulimit -c 0", "stty sane"),
        "mkdir /tmp/gone; cd /tmp/gone; rmdir /tmp/gone",
    ],
    "jobs and input": [
        *("wait", "jobs", "fg", "sleep 0.1 & wait", "sleep 9 & disown", "kill %1", "bg; suspend"),
        *("cat", "read x", "read -t 0", "mapfile", "select x in a; do :; done", "hash -d ls"),
    ],
    "texts without an end": [
        *("'", '"', "`", "$(", "${", 'echo "$(echo ")"', "cat <(ls", "echo $(cat <<X", "((", "[["),
        *("<<", "cat <<X", "cat <<'X'\n$(", "{", "f() {", "a=(", "if true; then", "case x in"),
        *("case x in x) true ;;", "esac", "# '", "echo \\"),
    ],
    "strange texts": [
        *("!!", "!x", "echo hi!", "echo 'a\r\nb'\r\n", "\r", "\x01\x7f", "}", ")", ";;"),
        *("return 3", "break", "continue 2", "return", "local x", "f() { return 9; }; f", "logout"),
        ": ${x?no}",
    ],
    "signals to itself": [
        *("kill -STOP $$", "kill -INT $$", "kill -TERM $$", "kill -WINCH $$; kill -CHLD $$"),
    ],
}


@pytest.mark.parametrize("kind", SURVIVED)
def test_a_shell_takes_it_and_goes_on(connection: Connection, kind: str) -> None:
    """A person at a prompt would go on as well; state, output and code are still there."""
    began = next(_numbers)
    for number, command in enumerate(SURVIVED[kind]):
        steps = [
            'kept=1; say() { echo said "$kept"; }',
            command,
            "say",
            "( no-such-program-at-all )",
            "echo $(echo `echo in`) $( (echo sub) )",
        ]
        for step, text in enumerate(steps):
            name = f"taken{began}-{number}"
            request_id = f"{number}.{step}.{began}"
            connection.ask(text, session=name, request_id=request_id, timeout=20)
    answers = [connection.receive() for _ in range(5 * len(SURVIVED[kind]))]
    wrong = [a for a in answers if "session_ended" in a or "timed_out" in a]
    assert not wrong, [
        (a["request_id"], a["error"], a["returncode"], a.get("timed_out")) for a in wrong
    ]
    by_step = {tuple(a["request_id"].split(".")[:2]): a for a in answers}
    for number, command in enumerate(SURVIVED[kind]):
        said, missing, substituted = (by_step[str(number), step] for step in "234")
        assert (said["output"], said["returncode"]) == ("said 1\n", 0), (command, said)
        assert missing["returncode"] == 127, (command, missing)
        assert substituted["output"] == "in sub\n", (command, substituted)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("set -r", "restricted"),
        ("true; set -o restricted 2>/dev/null || set -r", "restricted"),
        ("ulimit -n 3", "can no longer tell"),
        ("alias if=false", "no longer takes commands"),
        ("shopt -s extdebug; trap false DEBUG", "can no longer tell"),
        ("shopt -s extdebug; trap 'return 1' DEBUG", "can no longer tell"),
        ("kill -9 $$", "killed by signal 9"),
        ("kill -KILL $BASHPID; true", "killed by signal 9"),
    ],
)
def test_what_a_shell_cannot_survive_ends_its_session_with_a_reason(
    shell, command: str, reason: str
) -> None:
    """Neither a hang nor a success, and the next command finds a new shell."""
    shell("kept=1")
    began = time.monotonic()
    result = shell(f"echo before; {command}")
    assert time.monotonic() - began < 8
    assert result["session_ended"] is True, result
    assert reason in result["error"]
    assert result["output"] == "before\n"
    fresh = shell("echo [$kept]")
    assert (fresh["output"], fresh["returncode"]) == ("[]\n", 0)
    assert "session_ended" not in fresh


@pytest.mark.parametrize(
    "command",
    [
        "readonly PROMPT_COMMAND",
        "readonly __sandbox_text",
        "readonly __sandbox_prompt=1",
        "ulimit -n 5",
        "enable -n eval",
    ],
)
def test_a_shell_that_takes_no_command_is_told_with_the_next(shell, command: str) -> None:
    """What was not run must not look as if it had been."""
    assert shell(command)["returncode"] == 0
    began = time.monotonic()
    result = shell("echo not run")
    assert time.monotonic() - began < 8
    assert (result["session_ended"], result["returncode"], result["output"]) == (True, 126, "")
    assert "no longer takes commands" in result["error"]
    assert shell("echo anew")["output"] == "anew\n"


@pytest.mark.parametrize(
    ("command", "returncode", "output"),
    [
        ("exit 3", 3, ""),
        ("exit", 0, ""),
        ("exec sleep 0.1", 0, ""),
        ("exec sh -c 'echo other; exit 4'", 4, "other\n"),
        ("set -e; false", 1, ""),
        ("set -eu; echo $nope", 1, ""),
        ("trap 'echo bye' EXIT; exit 5", 5, "bye\n"),
        ("trap 'echo bye; exit 6' EXIT; set -e; false; true", 6, "bye\n"),
        ("f() { exit 7; }; f", 7, ""),
    ],
)
def test_the_users_own_end_is_no_more_than_told(
    shell, command: str, returncode: int, output: str
) -> None:
    """The code is the shell's, and nothing is added to what it wrote."""
    result = shell(command)
    assert (result["returncode"], result["session_ended"]) == (returncode, True)
    assert result["output"] == output
    assert "session ended" not in result["error"]
    assert "exit\n" not in result["error"]


def test_an_exit_trap_set_before_speaks_at_the_end(shell) -> None:
    """On stdout and on stderr, into the result of the command that ended the shell."""
    shell("trap 'echo out; echo err >&2' EXIT; set -x")
    result = shell("echo last >&2; exit 2")
    assert (result["returncode"], result["output"]) == (2, "out\n")
    lines = [line for line in result["error"].splitlines() if not line.startswith("+")]
    assert lines == ["last", "err"]


def test_a_shell_that_ends_while_nothing_runs_is_told_once(connection: Connection, shell) -> None:
    """Its state is gone: the next command must not run without it, and without a word."""
    pid = shell("kept=1; echo $$")["output"].strip()
    assert connection.run(f"kill -9 {pid}")["returncode"] == 0
    eventually(lambda: connection.run(f"test -d /proc/{pid}")["returncode"] == 1)
    result = shell("echo anew")
    assert (result["returncode"], result["session_ended"]) == (126, True)
    assert "had ended" in result["error"]
    assert shell("echo anew$kept")["output"] == "anew\n"


@pytest.mark.parametrize("option", ["set -x", "set -xv", "set -o xtrace; PS4='+ '"])
def test_a_trace_shows_only_the_users_lines(shell, option: str) -> None:
    """The wrapper's own are nobody's business."""
    shell(option)
    result = shell("echo a\nx=1 # note", cwd="/tmp", env={"SHOWN": "no"})
    assert result["output"] == "a\n"
    traced = [line.lstrip("+ ") for line in result["error"].splitlines()]
    assert set(traced) <= {"echo a", "x=1", "x=1 # note"}, result["error"]
    assert "echo a" in traced


def test_a_trace_of_ones_own_is_the_users_too(shell) -> None:
    """BASH_XTRACEFD: the file has the commands; none of them fails for it."""
    shell("exec 7>/tmp/trace; BASH_XTRACEFD=7; set -x")
    result = shell("echo traced")
    assert (result["output"], result["error"]) == ("traced\n", "")
    shell("set +x; exec 7>&-")
    assert "+ echo traced\n" in shell("cat /tmp/trace")["output"]


@pytest.mark.parametrize(
    ("trap", "expected"),
    [("ERR", "t\n"), ("DEBUG", "t\n"), ("RETURN", "")],
)
def test_a_trap_speaks_for_the_users_commands_alone(shell, trap: str, expected: str) -> None:
    """Once for one failing command, not again for what surrounds it."""
    shell(f"trap 'echo t' {trap}")
    result = shell("false")
    assert (result["output"], result["returncode"]) == (expected, 1)


def test_a_bad_cwd_is_126_and_leaves_the_shell_alone(shell) -> None:
    """As for a plain command; the command does not run."""
    shell("cd /tmp; kept=1; touch file; mkdir -p shut; chmod 0 shut")
    for bad in ("/nope", "/tmp/file", "/tmp/shut", "nope", "-", "", "/tmp/\nx"):
        result = shell("echo ran; kept=2", cwd=bad)
        expected = ("ran\n", 0) if bad == "" else ("", 126)
        assert (result["output"], result["returncode"]) == expected, bad
        if bad == "":
            shell("cd /tmp; kept=1")
            continue
        assert result["error"], bad
        assert "session_ended" not in result
    assert shell("pwd; echo $kept")["output"] == "/tmp\n1\n"


def test_cwd_is_taken_from_home_whatever_the_shell_thinks(shell) -> None:
    """Relative is relative to home; CDPATH, OLDPWD, cdable_vars and a `cd` of one's own are not
    asked."""
    shell("mkdir -p ~/sub /tmp/sub ~/-; cd /tmp; CDPATH=/tmp; shopt -s cdable_vars; var=/usr")
    assert shell("pwd", cwd="sub")["output"] == "/home/user/sub\n"
    assert shell("pwd", cwd="-")["output"] == "/home/user/-\n"
    assert shell("pwd", cwd="var")["returncode"] == 126
    shell("cd() { echo mine; builtin cd /; }; cd /tmp")
    assert shell("pwd", cwd="sub")["output"] == "/home/user/sub\n"
    assert shell("cd x; pwd")["output"] == "mine\n/\n"


def test_cwd_is_looked_at_when_its_turn_comes(connection: Connection) -> None:
    """A command may make the directory that the next one starts in."""
    connection.ask("sleep 0.3; mkdir /tmp/later", session="turn", request_id="1")
    connection.ask("pwd", session="turn", cwd="/tmp/later", request_id="2")
    assert connection.receive()["returncode"] == 0
    assert connection.receive()["output"] == "/tmp/later\n"


def test_env_values_are_taken_as_they_are(shell) -> None:
    """Whatever characters they hold; one that cannot be set is an error, and nothing runs."""
    value = 'it\'s "$HOME" `id` \\n !\n\ttab ä沙 \x01\x7f'
    assert shell('printf %s "$V"', env={"V": value})["output"] == value
    assert shell("env | grep -c ^V=", env={"V": "", "W": "x"})["output"] == "1\n"
    shell("readonly V")
    result = shell("echo ran", env={"V": "other"})
    assert (result["output"], result["returncode"]) == ("", 1)
    assert "readonly" in result["error"]
    assert shell("echo ${POSIXLY_CORRECT-no}")["output"] == "no\n"


def test_exec_sends_the_output_of_later_commands_too(shell) -> None:
    """As in one interactive shell, until it is taken back."""
    assert shell("exec 3>&1 >/tmp/log")["output"] == ""
    result = shell("echo one; echo err >&2")
    assert (result["output"], result["error"]) == ("", "err\n")
    shell("echo two")
    shell("exec >>/tmp/log2; echo three")
    shell("exec >&3")
    assert shell("cat /tmp/log /tmp/log2")["output"] == "one\ntwo\nthree\n"
    assert shell("echo back")["output"] == "back\n"


def test_exec_joins_and_parts_stderr_and_stdout(shell) -> None:
    """`exec 2>&1` is what people write; /dev/null for one of them likewise."""
    shell("exec 4>&2 2>&1")
    result = shell("echo out; ls /nope-at-all")
    assert result["output"].startswith("out\nls: cannot access")
    assert result["error"] == ""
    shell("exec 2>&4")
    result = shell("echo out; echo err >&2")
    assert (result["output"], result["error"]) == ("out\n", "err\n")
    shell("exec 2>/dev/null")
    assert shell("echo out; echo err >&2")["error"] == ""
    assert shell("exec >&2; echo nowhere")["output"] == ""
    assert shell("echo nowhere; false")["returncode"] == 1


def test_a_text_is_taken_as_it_is(shell) -> None:
    """Whatever characters it holds, and with a history expansion switched on."""
    text = "$x `id` \\ \\\\ \" !! ä沙 \x01\x7f\x02 \t\\n %s {a,b} ~ * $'\\'"
    quoted = text.replace("'", "'\\''")
    for option in ("true", "set -H", "set -o history; set -H", "shopt -s nullglob"):
        shell(option)
        assert shell(f"printf %s '{quoted}'")["output"] == text
        assert shell(f"cat <<'END'\n{text}\nEND\n")["output"] == text + "\n"


def test_a_null_byte_is_refused_and_nothing_runs(shell) -> None:
    """bash would cut the text there, or drop the byte."""
    shell("kept=1")
    assert shell("echo a\0b")["code"] == "bad_request"
    assert shell("echo $kept")["output"] == "1\n"


def test_a_command_of_a_megabyte_runs(shell) -> None:
    """On one line and on many."""
    assert shell("echo " + "x" * 1_000_000 + " | wc -c")["output"] == "1000001\n"
    assert shell("n=0\n" + ": 'a b'\n" * 50_000 + "echo end")["output"] == "end\n"


def test_jobs_of_an_earlier_command_can_be_seen_and_ended(shell) -> None:
    """One shell, one table of jobs; starting one writes nothing."""
    first = shell("sleep 60 & sleep 61 & echo up")
    assert (first["output"], first["error"]) == ("up\n", "")
    assert shell("jobs | wc -l")["output"] == "2\n"
    assert shell("kill %1; wait %1")["returncode"] == 143
    assert shell("kill $!; wait $!")["returncode"] == 143
    assert shell("set -m; sleep 0.1 & fg")["returncode"] == 0


def test_aliases_work_as_at_a_prompt(shell) -> None:
    """From the line after the one that made them, and in later commands."""
    shell("alias hi='echo hello'")
    assert shell("hi you")["output"] == "hello you\n"
    assert shell("unalias hi\nhi")["returncode"] == 127


def test_nothing_of_the_session_is_left_in_its_variables(shell) -> None:
    """What the user lists is the user's, up to two names that begin with `__sandbox`."""
    shell("false")
    names = shell("compgen -v | grep -i -e sandbox -e posixly; compgen -A function")["output"]
    assert set(names.split()) <= {"__sandbox_end", "__sandbox_status"}
    assert shell("ls ~/.bash_history; env | grep -c PS1")["output"] == "0\n"
