"""Names of signals, as clients write them."""

from __future__ import annotations

import signal

import pytest

from gateway.agent.processes import proctree


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("INT", signal.SIGINT),
        ("SIGINT", signal.SIGINT),
        ("KILL", signal.SIGKILL),
        ("SIGTERM", signal.SIGTERM),
        ("USR1", signal.SIGUSR1),
        ("WINCH", signal.SIGWINCH),
        ("RTMIN", signal.SIGRTMIN),
    ],
)
def test_names_with_and_without_sig(name: str, number: int) -> None:
    """Both spellings are common: kill(1) has one, signal(7) the other."""
    assert proctree.signal_number(name) == number


@pytest.mark.parametrize(
    "name", ["", "SIG", "NONSENSE", "int", "9", "_DFL", "_IGN", "SIG_DFL", "_BLOCK", "INT ", "MASK"]
)
def test_what_is_no_signal_has_no_number(name: str) -> None:
    """SIG_DFL and SIG_BLOCK are names in the same module, and numbers of other signals."""
    assert proctree.signal_number(name) is None
