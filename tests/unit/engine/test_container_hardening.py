"""What the engine is told for each isolation level."""

from __future__ import annotations

import json

import pytest

from gateway.engine import container_hardening, seccomp
from gateway.engine.interface import Limits

LEVELS = ("standard", "strict", "gvisor")


def _limits(memory_mb: int = 1024, disk_mb: int | None = None) -> Limits:
    return Limits(memory_mb=memory_mb, cpus=1.0, pids=100, file_size_mb=64, disk_mb=disk_mb)


def _sizes_kib(limits: Limits) -> dict[str, int]:
    found = {}
    for path, options in container_hardening.writable_places(limits).items():
        [size] = [word for word in options.split(",") if word.startswith("size=")]
        found[path] = int(size.removeprefix("size=").removesuffix("k"))
    return found


@pytest.mark.parametrize("level", LEVELS)
def test_no_level_goes_without_the_walls(level: str) -> None:
    """What a level adds may never replace what all have."""
    config = container_hardening.host_config(_limits(), "none", level)

    assert config["cap_drop"] == ["ALL"]
    assert config["security_opt"][0] == "no-new-privileges:true"
    assert config["security_opt"][1] == f"seccomp={seccomp.profile()}"
    assert config["mem_limit"] == config["memswap_limit"] == 1024 * 1024 * 1024
    assert config["network_mode"] == "none"
    assert "privileged" not in config


@pytest.mark.parametrize("level", LEVELS)
def test_root_adds_seven_capabilities_and_takes_down_no_wall(level: str) -> None:
    """What is not named here stays as in every other sandbox: there is no other way to more."""
    without = container_hardening.host_config(_limits(), "none", level)
    with_root = container_hardening.host_config(_limits(), "none", level, has_root=True)

    assert {name for name in without if without[name] != with_root[name]} == {"cap_add"}
    assert without["cap_add"] == []
    assert with_root["cap_add"] == [
        *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "SETUID", "SETGID", "KILL")
    ]


def test_levels_differ_in_what_they_should() -> None:
    """Only strict is read-only, only gvisor has another runtime, with room for its threads."""
    standard, strict, gvisor = (
        container_hardening.host_config(_limits(), "none", level) for level in LEVELS
    )

    assert {*strict} - {*standard} == {"read_only", "tmpfs"}
    assert {*gvisor} - {*standard} == {"runtime"}
    assert gvisor["runtime"] == "runsc"
    assert standard["pids_limit"] == strict["pids_limit"] == 100
    assert gvisor["pids_limit"] > 800


@pytest.mark.parametrize(
    ("memory_mb", "disk_mb", "whole_mb"),
    [(1024, None, 512), (1024, 100, 100), (1024, 4096, 512), (64, None, 32)],
)
def test_writable_places_are_never_more_than_half_of_the_memory(
    memory_mb: int, disk_mb: int | None, whole_mb: int
) -> None:
    """They are part of it: full of files it would leave nothing to run in."""
    sizes = _sizes_kib(_limits(memory_mb, disk_mb))

    assert sum(sizes.values()) == whole_mb * 1024
    assert {*sizes} == {"/home/user", "/tmp", "/var/tmp", "/run", "/dev/shm"}
    for options in container_hardening.writable_places(_limits(memory_mb, disk_mb)).values():
        assert {"nosuid", "nodev"} <= {*options.split(",")}
        assert "nr_inodes=" in options


def test_the_profile_lists_what_is_allowed_and_nothing_sharp() -> None:
    """Whoever adds a call here meets this list first."""
    found = json.loads(seccomp.profile())
    allowed = {
        name
        for rule in found["syscalls"]
        if rule["action"] == "SCMP_ACT_ALLOW" and not rule.get("args")
        for name in rule["names"]
    }

    assert found["defaultAction"] == "SCMP_ACT_ERRNO"
    assert not any(entry["subArchitectures"] for entry in found["archMap"])
    assert not any(name.startswith("io_uring") for name in allowed)
    assert not allowed & {
        *("socket", "socketpair", "socketcall", "ipc", "clone", "clone3", "unshare", "setns"),
        *("personality", "mount", "umount2", "move_mount", "open_tree", "fsopen", "pivot_root"),
        *("bpf", "perf_event_open", "userfaultfd", "keyctl", "add_key", "request_key"),
        *("open_by_handle_at", "kexec_load", "init_module", "finit_module", "delete_module"),
        *("chroot", "acct", "swapon", "reboot", "syslog", "quotactl", "modify_ldt", "iopl"),
        *("fanotify_init", "pidfd_getfd", "process_madvise", "kcmp", "vhangup", "nfsservctl"),
    }


def test_socket_families_are_compared_as_the_kernel_reads_them() -> None:
    """A comparison of all 64 bits lets 38 through as 38 plus any of the upper ones. Of the type it
    reads four bits beside the flags (net/socket.c, SOCK_TYPE_MASK)."""
    rules = [
        argument
        for rule in json.loads(seccomp.profile())["syscalls"]
        if rule["names"][0] in ("socket", "socketpair")
        for argument in rule["args"]
    ]

    assert rules
    for argument in rules:
        assert argument["op"] == "SCMP_CMP_MASKED_EQ"
        assert argument["value"] == (0xF if argument["index"] == 1 else 0xFFFFFFFF)


def test_internet_sockets_name_their_type_and_protocol() -> None:
    """A rule without them would let every protocol through, whatever the others say."""
    internet = [
        {argument["index"]: argument["valueTwo"] for argument in rule["args"]}
        for rule in json.loads(seccomp.profile())["syscalls"]
        if rule["names"] == ["socket"] and rule["args"][0]["valueTwo"] in (2, 10)
    ]

    assert len(internet) == 10
    assert {(rule[1], rule[2]) for rule in internet} == {
        *((1, 0), (1, 6)),  # SOCK_STREAM
        *((2, 0), (2, 17), (2, 1), (2, 58)),  # SOCK_DGRAM
    }


def test_the_profile_goes_into_one_line_without_comments() -> None:
    """The engine's API takes its text and, before 20.10, no comments."""
    assert "\n" not in seccomp.profile()
    assert '"comment"' not in seccomp.profile()


@pytest.mark.parametrize("cpus", [0.05, 0.07, 0.1, 0.333, 1.0, 1.5, 64.0, 1024.0])
def test_cpu_time_is_counted_in_short_periods(cpus: float) -> None:
    """What has used up its part waits for the rest of the period. The kernel takes no quota below a
    millisecond, and no period above a second (sched-bwc)."""
    period_us, quota_us = container_hardening.cpu_quota(cpus)

    assert quota_us / period_us == pytest.approx(cpus, rel=0.01)
    assert quota_us >= 1000
    assert 10_000 <= period_us <= 20_000
