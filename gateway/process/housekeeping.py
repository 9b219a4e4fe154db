"""When the rules of cleaning up run, and in which worker."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Protocol

import gevent

from gateway import clock
from gateway.errors import GatewayError
from gateway.process.periodic import PeriodicLoop

if TYPE_CHECKING:
    from apscheduler.schedulers.gevent import GeventScheduler

log = logging.getLogger(__name__)

ELECTION_S = 1.0
CLOCK_JUMP_S = 30.0


class Leadership(Protocol):
    """The right to do the housekeeping; one process of all has it."""

    def acquire(self) -> bool: ...

    def close(self) -> None: ...


class Housekeeping:
    """Stands for election, and runs its jobs by APScheduler once elected.

    `jobs` are (name, seconds between runs, what to do). A job never overlaps with itself.
    `duties` are done without end beside them, each in a greenlet of its own. `on_failure` is told
    the names of jobs that fail.
    """

    def __init__(
        self,
        leadership: Leadership,
        jobs: list[tuple[str, float, Callable[[], None]]],
        duties: Sequence[Callable[[], None]],
        on_failure: Callable[[str], None] = lambda job: None,
    ) -> None:
        self._leadership = leadership
        self._jobs = jobs
        self._duties = duties
        self._on_failure = on_failure
        self._on_duty: list[gevent.Greenlet] = []
        self._scheduler: GeventScheduler | None = None
        self._standing = PeriodicLoop("housekeeping", self._stand, ELECTION_S)
        self._clock_offset = _clock_offset()

    def start(self) -> None:
        """Begin to stand for election, in a greenlet of its own."""
        self._standing.start()

    def _stand(self) -> None:
        if self._scheduler is None and self._leadership.acquire():
            self._begin()
        self._catch_up_after_clock_jump()

    def _begin(self) -> None:
        # One worker of all needs it, and none before it answers.
        from apscheduler.schedulers.gevent import GeventScheduler

        scheduler = GeventScheduler(
            timezone="UTC",
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )
        for name, seconds, work in self._jobs:
            scheduler.add_job(
                _guarded(name, work, self._on_failure),
                "interval",
                seconds=seconds,
                id=name,
                next_run_time=datetime.now(timezone.utc),
            )
        scheduler.start()
        self._scheduler = scheduler
        self._on_duty = [
            gevent.spawn(_guarded("duty", duty, self._on_failure)) for duty in self._duties
        ]

    def _catch_up_after_clock_jump(self) -> None:
        """APScheduler plans by wall time: after a jump back, no job would be due for hours."""
        offset = _clock_offset()
        if abs(offset - self._clock_offset) > CLOCK_JUMP_S:
            self._clock_offset = offset
            if self._scheduler is not None:
                log.warning("the system's clock jumped; housekeeping is planned anew")
                for job in self._scheduler.get_jobs():
                    job.modify(next_run_time=datetime.now(timezone.utc))

    def close(self) -> None:
        """Stop, and let another worker be elected. May be repeated."""
        self._standing.close()
        gevent.killall(self._on_duty)
        self._on_duty = []
        # A second call may come while this one waits for greenlets to end.
        scheduler, self._scheduler = self._scheduler, None
        if scheduler is not None:
            scheduler.shutdown(wait=False)
        self._leadership.close()


def _clock_offset() -> float:
    return clock.wall_s() - clock.boot_s()


def _guarded(
    name: str, work: Callable[[], None], on_failure: Callable[[str], None]
) -> Callable[[], None]:
    def run() -> None:
        try:
            work()
        except GatewayError as error:
            log.warning("housekeeping job %s: %s", name, error)
            on_failure(name)
        except Exception:
            log.exception("housekeeping job %s failed", name)
            on_failure(name)

    return run
