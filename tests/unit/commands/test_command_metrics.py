"""What is counted of a command: once, however it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from gevent import GreenletExit
from gevent.event import Event
from prometheus_client.parser import text_string_to_metric_families

from gateway.commands.command_metrics import CommandMetrics
from gateway.errors import AgentUnavailable, CommandLost, ContainerGone, RequestIdInUse
from gateway.link.exited import Exited
from gateway.metrics import Exposition, Metrics
from gateway.store.census import StoreCensus
from gateway.store.database import Database


class _Counted:
    """The metrics, and what they say of commands."""

    def __init__(self, directory: Path) -> None:
        self.metrics = Metrics(directory / "metrics")
        self._database = Database(directory / "gateway.db")
        census = StoreCensus(self._database)
        self._exposition = Exposition(self.metrics.slot, census, "1")

    def __call__(self) -> dict[str, float]:
        text = self._exposition.text().decode()
        return {
            sample.labels["outcome"]: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "sandbox_gateway_commands_total" and sample.value
        }

    def close(self) -> None:
        self.metrics.close()
        self._database.close()


@pytest.fixture
def counted(tmp_path: Path) -> Iterator[_Counted]:
    counted = _Counted(tmp_path)
    yield counted
    counted.close()


def _handed_over() -> Event:
    event = Event()
    event.set()
    return event


@pytest.mark.parametrize(
    ("returncode", "timed_out", "outcome"),
    [(0, False, "ok"), (3, False, "nonzero"), (124, True, "timed_out"), (124, False, "nonzero")],
)
def test_an_end_has_one_word(
    counted: _Counted, returncode: int, timed_out: bool, outcome: str
) -> None:
    """124 may be a command's own; what was timed out is known from elsewhere."""
    with CommandMetrics(counted.metrics, _handed_over()) as command_metrics:
        command_metrics.ended(Exited(returncode, None, timed_out, False, (1, 2)), 3)

    assert counted() == {outcome: 1}


def test_what_goes_wrong_after_the_end_does_not_count_again(counted: _Counted) -> None:
    """The client left while its result was being sent."""
    command_metrics = CommandMetrics(counted.metrics, _handed_over())
    command_metrics.ended(Exited(0, None, False, False, (0, 0)), 0)
    command_metrics.ended(Exited(0, None, False, False, (0, 0)), 0)
    with pytest.raises(OSError, match="gone"), command_metrics:
        raise OSError("gone")

    assert counted() == {"ok": 1}


@pytest.mark.parametrize(
    ("error", "outcome"),
    [(CommandLost(), "lost"), (ContainerGone(), "lost"), (GreenletExit(), "unseen")],
)
def test_an_end_that_is_not_known_is_counted_as_such(
    counted: _Counted, error: BaseException, outcome: str
) -> None:
    """Every command that was started is counted: the sum over outcomes is their number."""
    with pytest.raises(type(error)), CommandMetrics(counted.metrics, _handed_over()):
        raise error

    assert counted() == {outcome: 1}


def test_what_did_not_run_is_not_counted(counted: _Counted) -> None:
    """Neither what never reached an agent nor what it refused."""
    with pytest.raises(AgentUnavailable), CommandMetrics(counted.metrics, Event()):
        raise AgentUnavailable
    with pytest.raises(RequestIdInUse), CommandMetrics(counted.metrics, _handed_over()):
        raise RequestIdInUse

    assert counted() == {}
