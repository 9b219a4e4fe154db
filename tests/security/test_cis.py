"""The container section of the CIS Docker Benchmark, on a container of every level."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.security.conftest import LEVELS, Place
from tests.support import cis

DOCUMENT = Path(__file__).resolve().parents[2] / "docs/security.md"

_ROW = re.compile(r"^\| (5\.\d+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


def _named() -> dict[str, tuple[str, str]]:
    """What docs/security.md names as deviations: the levels and the reason, by number."""
    found = {}
    for number, _, levels, reason in _ROW.findall(DOCUMENT.read_text()):
        found[number] = (levels.strip(), reason.strip())
    return found


def _expected(level: str, has_lsm: bool) -> set[str]:
    hosts_own = {"5.2", "5.3"}
    found = {
        number
        for number, (levels, _) in _named().items()
        if levels == "all" or level in levels.split(", ")
    }
    # Whether there is an LSM is up to the host, and only one of the two is ever active.
    return found - hosts_own if has_lsm else found


def test_every_deviation_is_named_and_no_other_is(place: Place) -> None:
    """A container that got weaker fails here, and so does a document that claims too little."""
    found = cis.deviations(place.inspect())
    has_lsm = not {"5.2", "5.3"} <= found
    if has_lsm:
        found -= {"5.2", "5.3"}

    assert found == _expected(place.level, has_lsm)


def test_each_deviation_has_a_reason() -> None:
    """A number without a why is no decision."""
    assert {*_named()} <= {*cis.CHECKS} | {*cis.NOT_OF_A_CONTAINER}
    for number, (levels, reason) in _named().items():
        assert levels == "all" or {*levels.split(", ")} <= {*LEVELS}, number
        assert len(reason) > 20, number


def test_all_of_the_section_is_covered() -> None:
    """5.1 to 5.32, each either checked or said to be no matter of a container."""
    covered = {*cis.CHECKS, *cis.NOT_OF_A_CONTAINER}

    assert covered == {f"5.{number}" for number in range(1, 33)}
    for number in cis.NOT_OF_A_CONTAINER:
        assert number in DOCUMENT.read_text(), number


WEAKER: list[tuple[str, Callable[[dict], object]]] = [
    ("5.4", lambda host: host.update(CapAdd=["SYS_ADMIN"])),
    ("5.5", lambda host: host.update(Privileged=True)),
    ("5.6", lambda host: host.update(Binds=["/etc:/etc"])),
    ("5.8", lambda host: host.update(PortBindings={"22/tcp": [{"HostPort": "22"}]})),
    ("5.10", lambda host: host.update(NetworkMode="host")),
    ("5.11", lambda host: host.update(MemorySwap=-1)),
    ("5.12", lambda host: host.update(CpuQuota=0)),
    ("5.15", lambda host: host.update(RestartPolicy={"Name": "always"})),
    ("5.16", lambda host: host.update(PidMode="host")),
    ("5.17", lambda host: host.update(IpcMode="host")),
    ("5.18", lambda host: host.update(Devices=[{"PathOnHost": "/dev/sda"}])),
    ("5.21", lambda host: host.update(UTSMode="host")),
    ("5.22", lambda host: host.update(SecurityOpt=["seccomp=unconfined", "no-new-privileges"])),
    ("5.26", lambda host: host.update(SecurityOpt=[])),
    ("5.29", lambda host: host.update(PidsLimit=-1)),
    ("5.31", lambda host: host.update(UsernsMode="host")),
]


@pytest.mark.parametrize(("number", "weaken"), WEAKER)
def test_the_checks_see_a_weaker_container(
    strict: Place, number: str, weaken: Callable[[dict], object]
) -> None:
    """A check that nothing fails would prove nothing."""
    found = copy.deepcopy(strict.inspect())
    assert number not in cis.deviations(found)

    weaken(found["HostConfig"])

    assert number in cis.deviations(found)
