"""What every container is allowed: said by the engine, and seen from inside."""

from __future__ import annotations

import os
from typing import Any

import pytest

from tests.support.clients import Connection, connect
from tests.support.gateway_process import GatewayProcess

MIB = 1024 * 1024


@pytest.fixture(scope="module")
def inspected(shared_gateway: GatewayProcess, module_sandbox: str) -> dict[str, Any]:
    return shared_gateway.engine.inspect(module_sandbox)


@pytest.fixture
def client(gateway: GatewayProcess, module_sandbox: str) -> Connection:
    return connect(gateway, module_sandbox)


def _status(client: Connection, pid: str) -> dict[str, str]:
    lines = client.output_of(f"cat /proc/{pid}/status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_the_engine_was_told_to_confine_it(inspected: dict[str, Any]) -> None:
    """Nothing privileged, nothing of the host, nothing gained, nothing restarted, nothing
    logged on the host's disk."""
    config = inspected["HostConfig"]

    assert config["Privileged"] is False
    assert config["CapDrop"] == ["ALL"]
    assert not config["CapAdd"]
    assert "no-new-privileges:true" in config["SecurityOpt"]
    assert not any("unconfined" in option for option in config["SecurityOpt"])
    assert config["Init"] is True
    assert not config["Binds"]
    assert not config["Mounts"] if "Mounts" in config else True
    assert inspected["Mounts"] == []
    assert not config["Devices"]
    assert not config["DeviceRequests"]
    assert not config["VolumesFrom"]
    assert not config["PortBindings"]
    assert not config["PublishAllPorts"]
    assert config["PidMode"] == ""
    assert config["IpcMode"] == "private"
    assert config["UTSMode"] == ""
    assert config["UsernsMode"] == ""
    assert config["CgroupnsMode"] in ("", "private", "host")
    assert config["RestartPolicy"]["Name"] in ("no", "")
    assert config["LogConfig"]["Type"] == "none"
    assert config["AutoRemove"] is False


def test_every_resource_has_a_limit(inspected: dict[str, Any]) -> None:
    """Memory without swap on top, processes, cpu, files, core dumps."""
    config = inspected["HostConfig"]

    assert config["Memory"] == config["MemorySwap"] == 1024 * MIB
    assert (config["CpuPeriod"], config["CpuQuota"]) == (10_000, 10_000)
    assert config["PidsLimit"] == 512
    assert config["OomKillDisable"] in (False, None)
    limits = {limit["Name"]: (limit["Soft"], limit["Hard"]) for limit in config["Ulimits"]}
    assert limits["core"] == (0, 0)
    assert limits["fsize"] == (4096 * MIB, 4096 * MIB)
    assert 0 < limits["nofile"][1] <= 1 << 20


def test_commands_have_no_capability_and_cannot_gain_any(
    client: Connection, gateway: GatewayProcess, module_sandbox: str
) -> None:
    """All five sets empty, no_new_privs, seccomp as a filter, not root."""
    status = _status(client, "self")

    for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[name], 16) == 0, name
    assert status["NoNewPrivs"] == "1"
    assert status["Seccomp"] == "2"
    assert status["Uid"].split() == [gateway.engine.uid_of(module_sandbox)] * 4
    assert status["Gid"].split() == ["1000"] * 4
    assert "0" not in status["Groups"].split()


def test_pid_1_is_an_init_and_not_root(client: Connection) -> None:
    """It reaps orphans; what runs as root in a container is one kernel bug from the host."""
    status = _status(client, "1")

    assert "init" in status["Name"]
    assert "0" not in status["Uid"].split()
    for name in ("CapPrm", "CapEff", "CapBnd"):
        assert int(status[name], 16) == 0, name
    owners = set(client.output_of("ps -eo uid=").split())
    assert "0" not in owners


def test_limits_hold_inside(client: Connection) -> None:
    """As the processes see them."""
    lines = client.output_of("ulimit -c; ulimit -f; ulimit -n").split()

    assert lines[0] == "0"
    assert int(lines[1]) == 4096 * 1024  # in KiB
    assert int(lines[2]) <= 1 << 20
    assert client.run("ulimit -c unlimited")["returncode"] != 0


@pytest.mark.parametrize(
    "path",
    [
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/hostname",
        "/proc/sys/vm/drop_caches",
        "/sys/kernel/uevent_helper",
        "/sys/fs/cgroup/release_agent",
        "/etc/passwd",
        "/etc/shadow",
        "/sbin/docker-init",
    ],
)
def test_what_belongs_to_the_host_or_to_root_is_not_writable(client: Connection, path: str) -> None:
    """Classic ways out of a container begin with a write."""
    result = client.run(f"echo x > {path}")

    assert result["returncode"] != 0


@pytest.mark.parametrize(
    "attempt",
    [
        "mount -t tmpfs none /mnt",
        "unshare -U -r true",
        "unshare -m true",
        "chroot / true",
        "mknod /tmp/disk b 8 0",
        "python3 -c 'import os; os.setuid(0)'",
        "kill -9 1",
        "chown 0:0 /home/user",
        "dmesg",
        "cat /proc/kcore",
        "cat /dev/mem",
        "hostname changed",
        "date -s 2000-01-01",
        "su -c true",
    ],
)
def test_what_needs_privileges_fails(client: Connection, attempt: str) -> None:
    """Tried for real, and the sandbox goes on."""
    result = client.run(f"timeout 5 {attempt}", within_s=10)

    assert result["returncode"] not in (0, 124), result
    assert client.output_of("echo alive") == "alive\n"


def test_no_file_gives_privileges(client: Connection) -> None:
    """setuid and setgid bits are useless under no_new_privs, and there are none to begin with."""
    assert client.run("find / -xdev -type f -perm /6000 2>/dev/null")["output"] == ""


@pytest.mark.parametrize(
    "path", ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock"]
)
def test_the_engines_socket_is_not_there(client: Connection, path: str) -> None:
    """Whoever reaches it is root on the host."""
    assert client.run(f"test -e {path}")["returncode"] == 1


def test_devices_are_the_harmless_ones(client: Connection) -> None:
    """No disk, no kvm, no memory."""
    devices = set(client.output_of("ls /dev").split())

    assert devices <= {
        *("console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm"),
        *("stderr", "stdin", "stdout", "tty", "urandom", "zero"),
    }


def test_namespaces_are_its_own(client: Connection, gateway: GatewayProcess) -> None:
    """pid, net, ipc, uts and mount are not the host's."""
    for name in ("pid", "net", "ipc", "uts", "mnt"):
        inside = client.output_of(f"readlink /proc/self/ns/{name}").strip()
        assert inside != os.readlink(f"/proc/self/ns/{name}")


def test_sandboxes_share_a_network_of_their_own_without_talking(
    gateway: GatewayProcess, module_sandbox: str, inspected: dict[str, Any], client: Connection
) -> None:
    """A bridge of the gateway's own, traffic between containers off: a server in one sandbox
    cannot be reached from another, but from itself."""
    [name] = inspected["NetworkSettings"]["Networks"]
    network = gateway.engine.api.inspect_network(name)
    assert name != "bridge"
    assert network["Driver"] == "bridge"
    assert network["Options"]["com.docker.network.bridge.enable_icc"] == "false"

    other_id = gateway.create()
    address = gateway.get(f"/sandboxes/{module_sandbox}").json()["ip_address"]
    client.run("python3 -m http.server 8099 >/dev/null 2>&1 & sleep 0.7")
    ask = (
        "python3 -c \"import socket; s = socket.create_connection(('%s', 8099), 3); print('open')\""
    )
    assert client.output_of(ask % address) == "open\n"
    with connect(gateway, other_id) as other:
        result = other.run(ask % address)
    assert result["returncode"] == 1
    assert "open" not in result["output"]
    client.run("pkill -f http.server")
    gateway.delete(f"/sandboxes/{other_id}")


def test_a_sandbox_sees_only_its_own_processes(client: Connection) -> None:
    """Neither the host's nor other sandboxes'."""
    names = set(client.output_of("ps -eo comm=").split())

    assert names <= {"docker-init", "sleep", "sbxgwd", "sbxgwl", "bash", "ps"}


def test_the_environment_tells_nothing_of_the_gateway(client: Connection) -> None:
    """No setting, no path, no address of the gateway reaches a command."""
    environment = client.output_of("env; cat /proc/1/environ | tr '\\0' '\\n' || true")

    assert "SANDBOX_" not in environment
    assert "DOCKER" not in environment


@pytest.mark.parametrize(
    ("what", "attempt"),
    [
        ("AF_ALG", "socket.socket(38, socket.SOCK_SEQPACKET)"),
        ("AF_PACKET", "socket.socket(17, socket.SOCK_RAW)"),
        ("ptrace of init", "import ctypes; sys.exit(ctypes.CDLL(None).ptrace(16, 1, 0, 0) < 0)"),
        ("keyctl", "import ctypes; sys.exit(ctypes.CDLL(None).syscall(250, 0, -3, 0) < 0)"),
        ("bpf", "import ctypes; sys.exit(ctypes.CDLL(None).syscall(321, 0, 0, 0) < 0)"),
        ("userfaultfd", "import ctypes; sys.exit(ctypes.CDLL(None).syscall(323, 0) < 0)"),
    ],
)
def test_the_kernels_sharpest_edges_are_out_of_reach(
    client: Connection, what: str, attempt: str
) -> None:
    """System calls and socket families that most escapes of the last years began with, on x86-64.
    Ordinary sockets work."""
    result = client.run(f"python3 - <<'EOF'\nimport socket, sys\n{attempt}\nEOF\n")

    assert result["returncode"] != 0, f"{what} is available"
    ordinary = "import socket; socket.socket(); socket.socket(socket.AF_INET6)"
    assert client.run(f"python3 -c '{ordinary}'")["returncode"] == 0


def test_a_sandbox_cannot_reach_the_gateway(
    gateway: GatewayProcess, inspected: dict[str, Any], client: Connection
) -> None:
    """Neither at the bridge's address nor at the host's own ones."""
    [network] = inspected["NetworkSettings"]["Networks"].values()
    for address in (network["Gateway"], "127.0.0.1", "172.17.0.1"):
        ask = f"import socket; socket.create_connection(('{address}', {gateway.port}), 2)"
        assert client.run(f'python3 -c "{ask}"')["returncode"] == 1, address
