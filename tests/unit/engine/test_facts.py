"""What engines of several ages say, read into one form."""

from __future__ import annotations

from gateway.engine.facts import facts_of, host_of

DEBIAN = {
    "Version": "20.10.24+dfsg1",
    "Components": [
        {"Name": "Engine", "Version": "20.10.24+dfsg1", "Details": {"GitCommit": "5d6db84"}},
        {
            "Name": "containerd",
            "Version": "1.6.20~ds1",
            "Details": {"GitCommit": "1.6.20~ds1-1+deb12u3"},
        },
        {"Name": "runc", "Version": "1.1.5+ds1", "Details": {"GitCommit": "1.1.5+ds1-1+deb12u1"}},
    ],
}
DOCKER = {
    "Version": "29.5.1",
    "Components": [
        {"Name": "containerd", "Version": "v2.2.0", "Details": {"GitCommit": "1c4457e00facac03"}},
        {"Name": "runc", "Version": "1.3.3", "Details": {"GitCommit": "v1.3.3-0-gd842d771"}},
    ],
}


def test_a_distributions_revision_is_kept() -> None:
    """It is the only sign that its number alone does not tell what is fixed."""
    assert facts_of({}, DEBIAN).versions == {
        "engine": "20.10.24+dfsg1",
        "containerd": "1.6.20~ds1-1+deb12u3",
        "runc": "1.1.5+ds1-1+deb12u1",
    }
    assert facts_of({}, DOCKER).versions == {
        "engine": "29.5.1",
        "containerd": "v2.2.0",
        "runc": "1.3.3",
    }


def test_security_options_are_names() -> None:
    """Whatever else stands behind them."""
    info = {"SecurityOptions": ["name=seccomp,profile=builtin", "name=apparmor", "name=cgroupns"]}

    assert facts_of(info, {}).security_options == {"seccomp", "apparmor", "cgroupns"}


def test_a_limit_that_the_host_lacks_is_found() -> None:
    """The engine drops it with a warning that nobody reads."""
    info = {"MemoryLimit": True, "SwapLimit": False, "CpuCfsQuota": True, "PidsLimit": False}

    assert facts_of(info, {}).missing_limits == ("swap", "pids")


def test_an_engine_that_says_little_is_no_error() -> None:
    """Podman and old engines leave things out."""
    facts = facts_of({}, {})

    assert facts.versions == {}
    assert facts.cgroup_version == "1"


def test_a_runtime_without_network_is_known_by_its_arguments() -> None:
    """The engine itself would claim an address for its containers."""
    host = host_of(
        {
            "Runtimes": {
                "runc": {"path": "runc"},
                "runsc": {"path": "/usr/bin/runsc", "runtimeArgs": ["--network=none"]},
                "other": {"path": "x", "runtimeArgs": ["--network=sandbox"]},
            }
        }
    )

    assert host.runtimes == {"runc", "runsc", "other"}
    assert host.offline_runtimes == {"runsc"}
