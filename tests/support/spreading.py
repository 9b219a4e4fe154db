"""Which tests one process runs after the other, so that the longest files do not take the longest.

pytest-xdist's `--dist loadfile` gives a file to one process, whose fixtures its tests share then.
"""

from __future__ import annotations

import re

from xdist.scheduler import LoadFileScheduling

APART = frozenset(
    (
        "tests/e2e/test_gateway_killed.py",
        "tests/e2e/test_metrics.py",
        "tests/faults/test_delete_and_cleanup_races.py",
        "tests/faults/test_engine.py",
        "tests/faults/test_engine_of_its_own.py",
        "tests/faults/test_workers.py",
        "tests/lifecycle/test_admission.py",
        "tests/lifecycle/test_idempotency.py",
        "tests/lifecycle/test_pool.py",
        "tests/security/test_fuzzed.py",
        "tests/soak/test_many_sandboxes.py",
    )
)
"""Files of long tests, each of which starts a gateway of its own, so that they share nothing."""

_WAY_TO_THE_AGENT = re.compile(r"\[(auto|exec)\b")
"""A parameter of gateways that a module's tests share: there are two of them."""


def scope_of(nodeid: str) -> str:
    """What the test goes with: its file, its function where those stand apart, or those of its
    file that take the same way to the agent."""
    path, _, test = nodeid.partition("::")
    if path in APART:
        return nodeid.partition("[")[0]
    way = _WAY_TO_THE_AGENT.search(test)
    return f"{path} {way[1]}" if way else path


class SpreadScheduling(LoadFileScheduling):
    """In the place of `--dist loadfile`: see `scope_of`."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
