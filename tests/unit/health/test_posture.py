"""From the engine's words to what is said about the host, and to a refusal."""

from __future__ import annotations

import logging

import pytest

from gateway.engine.facts import EngineFacts
from gateway.engine.interface import EngineHost
from gateway.errors import EngineUnavailable, IsolationUnavailable, SettingsError
from gateway.health.known_cves import KNOWN_CVES, is_of_a_distribution, known_cves_in, parsed
from gateway.health.posture import Posture, asked, of_engine
from gateway.sandboxes.spec import isolation_levels
from gateway.schemas.models import PostureCheck
from gateway.settings import POSTURE

SAFE = EngineFacts(
    versions={"engine": "29.5.1", "containerd": "2.2.0", "runc": "1.3.3"},
    security_options=frozenset({"seccomp", "apparmor", "userns"}),
    cgroup_version="2",
    missing_limits=(),
)
BARE = EngineFacts(
    versions={"engine": "20.10.24+dfsg1", "runc": "1.1.5+ds1-1+deb12u1"},
    security_options=frozenset(),
    cgroup_version="1",
    missing_limits=("swap",),
)


class Engine:
    """Says what it was given; the real one is asked in tests/security."""

    def __init__(self, facts: EngineFacts | None) -> None:
        self._facts = facts

    def facts(self) -> EngineFacts:
        if self._facts is None:
            raise EngineUnavailable("nobody answers")
        return self._facts


def _good() -> PostureCheck:
    return PostureCheck(ok=True, level="ok", detail="it is")


@pytest.mark.parametrize(
    ("version", "is_bad"),
    [
        ("1.1.11", True),
        ("1.1.15", True),
        ("1.2.7", True),
        ("1.2.8", False),
        ("v1.3.2", True),
        ("1.3.3", False),
        ("1.4.0-rc.2", True),
        ("1.4.0", False),
        ("1.5.0", False),
        ("2.0.0", False),
    ],
)
def test_a_fix_counts_in_its_own_branch(version: str, is_bad: bool) -> None:
    """1.2.8 has what 1.3.0 lacks."""
    found = parsed(version)
    assert found is not None

    assert any("CVE-2025-31133" in cve.name for cve in known_cves_in("runc", found)) is is_bad


def test_the_table_can_be_read() -> None:
    """A fix that is no version would make every version a bad one, or none."""
    for cve in KNOWN_CVES:
        assert cve.component in ("engine", "containerd", "runc")
        assert all(parsed(text) for text in cve.fixed), cve.name


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        *(("1.1.5+ds1-1+deb12u1", True), ("20.10.24+dfsg1", True), ("1.6.20~ds1", True)),
        *(("1.1.12-0ubuntu2~22.04.1", True), ("1.3.3", False), ("v2.2.0", False)),
    ],
)
def test_builds_of_distributions_are_told_apart(text: str, is_one: bool) -> None:
    """They patch without a new number: the gateway does not claim what it cannot know."""
    assert is_of_a_distribution(text) is is_one


def test_a_distributions_build_may_be_patched_and_is_not_shown_to_be() -> None:
    """Neither an alarm nor a clean bill."""
    check = of_engine(BARE)["runc"]

    assert (check.ok, check.level) == (False, "notice")
    assert "may be patched" in check.detail
    assert "CVE-2024-21626" in check.detail


def test_a_safe_host_is_shown_to_be_safe() -> None:
    """Otherwise no operator could ever require anything."""
    for name, check in of_engine(SAFE).items():
        assert (check.ok, check.level) == (True, "ok"), name


def test_what_is_missing_is_a_warning() -> None:
    """With a sentence that names it."""
    found = of_engine(BARE)

    for name in ("seccomp", "lsm", "userns", "limits"):
        assert (found[name].ok, found[name].level) == (False, "warning"), name
    assert "swap" in found["limits"].detail
    assert found["containerd"].level == "notice"


FURTHER = {"disk", "disk_space", "users", "network", "oom", "snapshots"}


def test_every_name_can_be_required() -> None:
    """Settings and checks must not drift apart."""
    assert {*of_engine(SAFE)} | FURTHER == {*POSTURE}


def test_an_engine_that_is_silent_shows_nothing() -> None:
    """Unknown is not safe, and further checks are made all the same."""
    found = Posture(Engine(None), frozenset(), {"disk": _good}).checks()

    assert found.pop("disk").ok
    assert {*found} | FURTHER == {*POSTURE}
    for check in found.values():
        assert not check.ok
        assert "nobody answers" in check.detail


def test_a_further_check_that_fails_is_unknown() -> None:
    """One that raises must not take the others with it."""

    def broken() -> PostureCheck:
        raise EngineUnavailable("gone")

    found = Posture(Engine(SAFE), frozenset(), {"disk": broken}).checks()

    assert found["disk"].detail == "unknown: gone"
    assert found["runc"].ok


def test_what_is_found_out_elsewhere_is_taken_over() -> None:
    """The disk's and the packet filter's own words."""
    further = {"disk": asked(lambda: (True, "it is")), "network": asked(lambda: (False, "no root"))}
    found = Posture(Engine(SAFE), frozenset(), further).checks()

    assert found["disk"] == _good()
    assert found["network"] == PostureCheck(ok=False, level="warning", detail="no root")


def test_only_what_is_required_refuses() -> None:
    """And what nobody here can show is not met."""
    Posture(Engine(BARE), frozenset(), {}).demand()
    Posture(Engine(SAFE), frozenset({"lsm", "disk"}), {"disk": _good}).demand()

    with pytest.raises(SettingsError, match=r"lsm \(No AppArmor") as refused:
        Posture(Engine(BARE), frozenset({"lsm"}), {}).demand()
    assert "\n" not in str(refused.value)
    with pytest.raises(SettingsError, match="network"):
        Posture(Engine(SAFE), frozenset({"network"}), {}).demand()


def test_the_report_warns_of_what_is_not_enforced(caplog: pytest.LogCaptureFixture) -> None:
    """Never silently dropped."""
    with caplog.at_level(logging.INFO):
        Posture(Engine(BARE), frozenset(), {}).report()

    warned = {r.getMessage().split(": ")[1] for r in caplog.records if r.levelname == "WARNING"}
    assert warned == {"seccomp", "lsm", "userns", "limits"}


def _host(*runtimes: str, offline: bool = False) -> EngineHost:
    names = frozenset(runtimes)
    return EngineHost(1, 1, names, offline_runtimes=names if offline else frozenset())


def test_a_level_needs_its_runtime() -> None:
    """A weaker one is never taken in its place."""
    assert isolation_levels.levels(_host("runc")) == {"standard", "strict"}
    assert isolation_levels.levels(_host("runc", "runsc")) == {"standard", "strict", "gvisor"}
    isolation_levels.demand("strict", _host("runc"))
    with pytest.raises(IsolationUnavailable, match="setup_gvisor"):
        isolation_levels.demand("gvisor", _host("runc"))


def test_which_levels_can_have_a_network() -> None:
    """Strict never; gVisor as its runtime is configured."""
    assert isolation_levels.has_network("standard", _host("runc"))
    assert not isolation_levels.has_network("strict", _host("runc"))
    assert isolation_levels.has_network("gvisor", _host("runsc"))
    assert not isolation_levels.has_network("gvisor", _host("runsc", offline=True))
