"""Keeps a record of tests that have failed beside others and passed alone: each is a finding.

`scripts/lib/tried_twice.sh` loads it into pytest for the second try.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest

MOST_PER_RUN = 12
"""More of them in one run are no accident: that run fails. Three are what is aimed at; a run on two
cores, which the suite uses up, has had nine of 4,200."""

RECORD = Path(".run", "second-tries.txt")
"""Below the root of the tests: a line for each, with the time (UTC), the newest last."""

MOST_LINES = 1000


class SecondTries:
    """What has failed in the run before this one, and has passed in this one."""

    def __init__(self, failed_first: frozenset[str], record: Path) -> None:
        self._failed_first = failed_first
        self._record = record
        self._outcomes: dict[str, set[str]] = {}

    def passed(self) -> list[str]:
        """Their ids: set-up, call and tear-down have passed, all three."""
        return sorted(name for name, all_ in self._outcomes.items() if all_ == {"passed"})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.nodeid in self._failed_first:
            self._outcomes.setdefault(report.nodeid, set()).add(report.outcome)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Write the record, and fail the run that has too many."""
        passed = self.passed()
        if passed:
            self._write(passed)
        if len(passed) > MOST_PER_RUN and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        passed = self.passed()
        if not passed:
            return
        terminalreporter.section("passed only on the second try")
        for name in passed:
            terminalreporter.line(f"SECOND TRY {name}")
        terminalreporter.line(f"recorded in {self._record}")
        if len(passed) > MOST_PER_RUN:
            terminalreporter.line(
                f"{len(passed)} passed only on the second try, {MOST_PER_RUN} may: the run fails"
            )

    def _write(self, passed: list[str]) -> None:
        now = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S")
        self._record.parent.mkdir(exist_ok=True)
        before = self._record.read_text().splitlines() if self._record.exists() else []
        lines = [*before, *(f"{now} {name}" for name in passed)][-MOST_LINES:]
        self._record.write_text("".join(f"{line}\n" for line in lines))


def pytest_configure(config: pytest.Config) -> None:
    """Read what the run before this one left as failed: at its end pytest forgets it."""
    assert config.cache is not None
    failed_first = frozenset(config.cache.get("cache/lastfailed", {}))
    config.pluginmanager.register(SecondTries(failed_first, config.rootpath / RECORD))
