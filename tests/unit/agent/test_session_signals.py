"""Who gets which signal when a session's command is to end: decided without a process."""

from __future__ import annotations

import signal

import pytest

from gateway.agent.sessions.session_processes import Moment, Seen
from gateway.agent.sessions.session_script import may_be_cut_off, quoted
from gateway.agent.sessions.session_signals import is_fatal, last_first, plan, unsettled

INT, KILL, TERM, USR1 = signal.SIGINT, signal.SIGKILL, signal.SIGTERM, signal.SIGUSR1
SHELL = 10


def _mask(*numbers: int) -> int:
    return sum(1 << (number - 1) for number in numbers)


def _shell(ignored: tuple[int, ...] = (TERM,), caught: tuple[int, ...] = (INT,)) -> Seen:
    return Seen(SHELL, 1, 0, _mask(*ignored), _mask(*caught))


def _child(pid: int, ignored: tuple[int, ...] = (), caught: tuple[int, ...] = ()) -> Seen:
    return Seen(pid, SHELL, 0, _mask(*ignored), _mask(*caught))


@pytest.mark.parametrize("number", [KILL, TERM, signal.SIGQUIT])
def test_a_plain_program_gets_int_so_that_its_shell_gives_up(number: int) -> None:
    """Only that makes bash leave out the steps to come."""
    chosen = plan(number, _shell(), [_child(11), _child(12)])
    assert chosen.signals == [(11, INT), (12, INT), (SHELL, INT)]
    assert chosen.ends


@pytest.mark.parametrize(
    "children",
    [[_child(11, caught=(INT,))], [_child(11), _child(12, caught=(INT,))], [_child(11, (INT,))]],
)
def test_kill_takes_the_shell_where_it_would_go_on(children: list[Seen]) -> None:
    """A killed command must not reach its next step."""
    assert plan(KILL, _shell(), children).signals[-1] == (SHELL, KILL)
    assert plan(KILL, _shell(ignored=(INT,)), [_child(11)]).signals[-1] == (SHELL, KILL)


def test_a_program_that_handles_term_gets_it() -> None:
    """It may clean up; afterwards it is looked what its shell went on to."""
    program = _child(11, caught=(TERM,))
    chosen = plan(TERM, _shell(), [program])
    assert (chosen.signals, chosen.ends, chosen.again) == ([(11, TERM)], True, [program])


def test_a_shell_with_a_trap_gets_the_signal_itself() -> None:
    """An interactive bash catches TERM for a trap only."""
    chosen = plan(TERM, _shell(ignored=(), caught=(TERM,)), [_child(11)])
    assert (chosen.signals, chosen.ends) == ([(11, TERM), (SHELL, TERM)], False)


def test_a_shell_alone_is_interrupted_or_gets_what_is_its_own() -> None:
    """A loop of builtins ends; USR1 is nobody else's."""
    assert plan(TERM, _shell(), []).signals == [(SHELL, INT)]
    assert plan(USR1, _shell(), []).signals == [(SHELL, USR1)]
    assert plan(TERM, _shell(), [_child(11, ignored=(INT,))]).signals == [(11, TERM), (SHELL, INT)]


def test_a_child_with_the_handlers_of_its_shell_has_not_settled() -> None:
    """It was just forked; a program has none of them, and a part of a pipeline has children."""
    forked, program = _child(11, (TERM,), (INT,)), _child(12)
    own = _child(13, (), (INT, TERM))
    assert unsettled(_shell(), [forked, program, own]) == [forked]
    assert unsettled(_shell(), [forked, Seen(14, forked.pid, 0, 0, 0)]) == []
    assert unsettled(_shell(), [Seen(15, 12, 0, 0, _mask(INT))]) == []


def test_the_end_of_a_pipeline_is_hit_before_its_start() -> None:
    """It would exit with 0 when its input ends; parents still come before their children."""
    first, last, below = _child(11), _child(12), Seen(13, 11, 0, 0, 0)
    assert last_first(_shell(), [first, last, below]) == [last, first, below]


def test_what_ends_nobody_is_known() -> None:
    """A queued command must not be dropped for a change of its window's size."""
    assert not any(map(is_fatal, (signal.SIGWINCH, signal.SIGCONT, signal.SIGSTOP)))
    assert all(map(is_fatal, (INT, KILL, TERM, USR1, signal.SIGHUP)))


def test_within_one_tick_pids_tell_what_came_later() -> None:
    """A tick is 10 ms, in which many processes can be started."""
    moment = Moment()
    moment.ticks, moment.last_pid = 100, 50
    assert moment.is_after(60, 99)
    assert moment.is_after(50, 100)
    assert not moment.is_after(51, 100)
    assert not moment.is_after(40, 101)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("echo $(ls)", False), ("echo $(ls", True), ("cat <(ls", True), ("echo (", False)),
        *(('echo "$(ls)"', False), ("echo $(echo ')'", True), ("echo $(echo \\)", True)),
        *(("echo '$('", False), ("$(case x in x) ;; esac)", True), ("echo `ls", False)),
    ],
)
def test_a_text_that_may_be_cut_off_is_found(text: str, expected: bool) -> None:
    """It may be parsed once too often, but not once too little."""
    assert may_be_cut_off(text) is expected


@pytest.mark.parametrize(
    ("text", "word"),
    [("a b", '"a b"'), ('"$`\\', '"\\"\\$\\`\\\\"'), ("!", '""\\!""'), ("it's\n", '"it\'s\n"')],
)
def test_a_text_is_quoted_as_one_word(text: str, word: str) -> None:
    """Nothing in it is for bash to see."""
    assert quoted(text) == word
