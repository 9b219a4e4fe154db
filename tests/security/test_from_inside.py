"""What somebody finds who wants out, at every isolation level (section G of the attacks)."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.security.conftest import Place
from tests.support.clients import Connection
from tests.support.eventually import eventually

TYPED = {"command_lost", "agent_unavailable", "link_lost", "agent_missing", "container_gone"}

ROOTS = 0b11111011
"""CHOWN 0, DAC_OVERRIDE 1, FOWNER 3, FSETID 4, KILL 5, SETGID 6, SETUID 7 (capabilities(7))."""

PROBE = """
import ctypes, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(*words):
    ctypes.set_errno(0)
    result = libc.syscall(*(ctypes.c_long(word) for word in words))
    return "ok" if result >= 0 else ctypes.get_errno()
def family(*words):
    try:
        socket.socket(*words).close()
        return "ok"
    except OSError as error:
        return error.errno
"""


def _status(client: Connection, pid: str = "self") -> dict[str, str]:
    lines = client.output_of(f"cat /proc/{pid}/status").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _probe(client: Connection, expression: str) -> str:
    return client.output_of(f"python3 - <<'EOF'\n{PROBE}\nprint({expression})\nEOF\n").strip()


def test_no_capability_no_root_and_no_way_to_more(place: Place, client: Connection) -> None:
    """Whoever has no capability in any set and cannot gain one starts from nothing."""
    status = _status(client)

    assert status["Uid"].split() == [place.uid] * 4
    if place.level == "root":
        for name in ("CapPrm", "CapEff", "CapBnd"):
            assert int(status[name], 16) == ROOTS, name
    else:
        for name in ("CapInh", "CapPrm", "CapEff", "CapBnd"):
            assert int(status[name], 16) == 0, name
        assert "0" not in status["Groups"].split()
        assert _probe(client, "call(105, 0)") != "ok"  # setuid
    if place.level != "gvisor":  # its kernel does not say these
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
        assert int(status["CapAmb"], 16) == 0


def test_pid_1_is_an_init_without_rights(place: Place, client: Connection) -> None:
    """It reaps orphans and belongs to nobody who could use it; with root it has what root has."""
    status = _status(client, "1")

    assert "init" in status["Name"]
    if place.level == "root":
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == ROOTS
    else:
        assert "0" not in status["Uid"].split()
        assert int(status["CapEff"], 16) == 0


@pytest.mark.parametrize(
    ("what", "probe"),
    [
        ("AF_ALG", "family(38, socket.SOCK_SEQPACKET)"),
        ("AF_VSOCK", "family(40, socket.SOCK_STREAM)"),
        ("AF_ALG with upper bits set", "call(41, 38 | 1 << 32, 5, 0)"),
        ("AF_PACKET", "family(17, socket.SOCK_RAW)"),
        ("AF_NETLINK for packet filters", "call(41, 16, 3, 12)"),
        ("io_uring", "call(425, 8, 0)"),
        ("bpf", "call(321, 0, 0, 0)"),
        ("userfaultfd", "call(323, 0)"),
        ("perf_event_open", "call(298, 0, 0, -1, -1, 0)"),
        ("keyctl", "call(250, 0, -3, 0)"),
        ("add_key", "call(248, 0, 0, 0, 0, -3)"),
        ("mount", "call(165, 0, 0, 0, 0, 0)"),
        ("fsopen", "call(430, 0, 0)"),
        ("open_by_handle_at", "call(304, -1, 0, 0)"),
        ("setns", "call(308, 0, 0)"),
        ("kexec_load", "call(246, 0, 0, 0, 0)"),
        ("init_module", "call(175, 0, 0, 0)"),
        ("modify_ldt", "call(154, 1, 0, 0)"),
    ],
)
def test_sharp_edges_of_the_kernel_are_out_of_reach(
    place: Place, client: Connection, what: str, probe: str
) -> None:
    """What escapes began with. On x86-64, by number, so that no library stands between; and by
    the filter (EPERM), not for the reason that this host's kernel happens to lack it."""
    answer = _probe(client, probe)

    assert answer != "ok" if place.level == "gvisor" else answer == "1", what


@pytest.mark.parametrize(
    ("what", "probe"),
    [
        ("the kernel's audit", "call(41, 16, 3, 9)"),
        ("with flags", "call(41, 16, 3 | 0o2000000, 9)"),
    ],
)
def test_the_kernels_audit_is_as_where_there_is_none(
    place: Place, client: Connection, what: str, probe: str
) -> None:
    """Refused all the same; but `useradd` and `passwd`, told EPERM, do nothing at all."""
    answer = _probe(client, probe)

    assert answer != "ok" if place.level == "gvisor" else answer == "93", what


@pytest.mark.parametrize(
    ("what", "probe"),
    [
        ("MPTCP", "family(2, 1, 262)"),
        ("MPTCP over IPv6", "family(10, 1, 262)"),
        ("MPTCP with upper bits set", "call(41, 2, 1, 262 | 1 << 32)"),
        ("MPTCP with flags in the type", "call(41, 2, 1 | 0o2004000, 262)"),
        ("SMC as a protocol", "family(2, 1, 256)"),
        ("SMC as a family", "family(43, 1, 0)"),
        ("SCTP as a stream", "family(2, 1, 132)"),
        ("SCTP as packets", "family(2, 5, 132)"),
        ("DCCP", "family(2, 6, 33)"),
        ("UDP-Lite", "family(2, 2, 136)"),
        ("UDP-Lite over IPv6", "family(10, 2, 136)"),
        ("L2TP", "family(2, 2, 115)"),
        ("raw", "family(2, 3, 255)"),
        ("raw with upper bits set", "call(41, 2, 3 | 1 << 32, 255)"),
        ("raw ICMPv6", "family(10, 3, 58)"),
    ],
)
def test_only_tcp_udp_and_ping_of_the_internet_protocols(
    place: Place, client: Connection, what: str, probe: str
) -> None:
    """The rest is code of the kernel that hardly anybody needs and that has had holes. The filter
    refuses (EPERM), before the kernel looks for a module that it might load."""
    answer = _probe(client, probe)

    assert answer != "ok" if place.level == "gvisor" else answer == "1", what


@pytest.mark.parametrize("version", [2, 10])
def test_the_usual_sockets_are_there(client: Connection, version: int) -> None:
    """TCP and UDP, by default or by name, with flags in the type as C libraries set them."""
    kinds = "[(1, 0), (1, 6), (2, 0), (2, 17), (1 | 0o2004000, 6), (2 | 0o2000000, 0)]"
    opened = _probe(client, f"[family({version}, *kind) for kind in {kinds}]")

    assert opened == str(["ok"] * 6)


@pytest.mark.parametrize("level", ["standard", "strict"])
def test_the_filter_leaves_ping_to_the_kernel(places: Callable[[str], Place], level: str) -> None:
    """`ping` needs no raw socket where the host's net.ipv4.ping_group_range lets it: then these
    open; else they fail with EACCES, which the filter never says."""
    with places(level).connect() as client:
        assert _probe(client, "family(2, 2, 1)") in ("ok", "13")
        assert _probe(client, "family(10, 2, 58)") in ("ok", "13")


@pytest.mark.parametrize("level", ["standard", "strict", "root"])
@pytest.mark.parametrize("flag", ["10000000", "20000", "40000000", "20000000"])
def test_no_new_namespaces(places: Callable[[str], Place], level: str, flag: str) -> None:
    """A user namespace gives all capabilities over what is in it, and half of the kernel with
    them. (gVisor's are those of its own kernel, and nothing of the host's.)"""
    with places(level).connect() as client:
        assert _probe(client, f"call(272, 0x{flag})") == "1"  # unshare: EPERM
        assert _probe(client, f"call(56, 0x{flag} | 17, 0, 0, 0, 0)") == "1"  # clone
        assert _probe(client, "call(435, 0, 0)") == "38"  # clone3: ENOSYS, so glibc falls back


def test_32_bit_calls_are_not_there(place: Place, client: Connection) -> None:
    """`socketcall` hides the family from a filter, and x32 numbers bypass careless ones."""
    program = (
        '#include <stdio.h>\nint main(){long r;__asm__ volatile("int $0x80":"=a"(r):"a"(20)'
        ':"memory");printf("%ld",r);return r<0;}'
    )
    if place.level != "gvisor":  # this engine's image has no compiler
        client.output_of(f"cat > /tmp/a.c <<'EOF'\n{program}\nEOF\ngcc -o /tmp/a /tmp/a.c")
        assert client.run("/tmp/a")["returncode"] == 128 + 31  # SIGSYS
    assert client.run(f"python3 - <<'EOF'\n{PROBE}\nsys.exit(call(0x40000027) != 'ok')\nEOF\n")[
        "returncode"
    ] not in (0, 127)


def test_what_people_run_still_runs(place: Place, client: Connection) -> None:
    """A profile that breaks threads, pools, event loops, pipes or git would be turned off."""
    script = """
import asyncio, multiprocessing, os, socket, sqlite3, ssl, subprocess, tempfile, threading
assert multiprocessing.Pool(2).map(abs, [-1, -2]) == [1, 2]
thread = threading.Thread(target=print, args=("thread",)); thread.start(); thread.join()
async def child():
    return await (await asyncio.create_subprocess_exec("true")).wait()
assert asyncio.run(child()) == 0
left, right = socket.socketpair(); left.send(b"x"); assert right.recv(1) == b"x"
server = socket.create_server(("127.0.0.1", 0)); socket.create_connection(server.getsockname())
socket.socket(socket.AF_INET6).close(); ssl.create_default_context()
os.mkfifo(tempfile.mkdtemp() + "/pipe"); sqlite3.connect(":memory:").execute("select 1")
print("all")
"""
    assert client.output_of(f"python3 - <<'EOF'\n{script}\nEOF\n").split() == ["thread", "all"]
    client.output_of(
        "cd $(mktemp -d) && git init -q . && git -c user.name=a -c user.email=b commit -q "
        "--allow-empty -m x && git log --oneline && tar c . | tar t && ip address && echo $$ | cat",
        within_s=60,
    )
    if place.level != "gvisor":
        built = "cd && printf 'int main(){return 3;}' > t.c && gcc t.c -o t && ./t; echo $?"
        assert client.output_of(built) == "3\n"
        traced = "import ctypes; print(ctypes.CDLL(None).ptrace(0, 0, 0, 0))"  # as strace and gdb
        assert client.output_of(f'python3 -c "{traced}"') == "0\n"
        assert client.run("setarch --addr-no-randomize true")["returncode"] == 0  # as gdb


@pytest.mark.parametrize(
    "path",
    [
        *("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe"),
        *("/proc/sys/vm/drop_caches", "/sys/kernel/uevent_helper"),
        *("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        *("/sys/fs/cgroup/release_agent", "/sys/fs/cgroup/memory/release_agent"),
        "/sbin/docker-init",
    ],
)
def test_handles_of_the_host_are_not_writable(place: Place, client: Connection, path: str) -> None:
    """Classic ways out begin with a write."""
    # Where groups are of version 1 their directory is the container's own, in memory: root makes
    # files there, and the groups in it are mounted read-only.
    kind = client.run("stat -f -c %T /sys/fs/cgroup")["output"].strip()
    if not (place.level == "root" and kind == "tmpfs" and path.count("/") == 4):
        assert client.run(f"echo x >> {path}")["returncode"] != 0
    assert client.run(f"umount {path}; mount -o remount,rw {path}")["returncode"] != 0


@pytest.mark.parametrize("path", ["/etc/passwd", "/etc/ld.so.preload", "/usr/bin/python3"])
def test_what_is_roots_is_not_writable_to_others(
    place: Place, client: Connection, path: str
) -> None:
    """And root's own in a sandbox with root, in the files of that sandbox."""
    is_root = place.level == "root"
    command = f"test -w $(dirname {path})" if is_root else f"echo x >> {path}"
    assert (client.run(command)["returncode"] == 0) == is_root


def test_devices_and_sockets_of_the_host_are_not_there(place: Place, client: Connection) -> None:
    """No disk, no memory, no kvm, no fuse (gVisor has one of its own); no socket of an engine."""
    absent = [
        *("/dev/mem", "/dev/kmsg", "/dev/kvm", "/dev/sda", "/dev/vda", "/dev/loop0"),
        *("/dev/vhost-vsock", "/var/run/docker.sock", "/run/containerd"),
    ]
    if place.level != "gvisor":
        absent += ["/dev/fuse", "/dev/net/tun"]
    for path in absent:
        assert client.run(f"test -e {path}")["returncode"] == 1, path


@pytest.fixture
def secret() -> Iterator[Path]:
    """A file on the host's root file system that no sandbox may read."""
    path = (
        Path("/var/tmp")
        / f"sandbox-gateway-secret-{hashlib.sha256(__file__.encode()).hexdigest()[:8]}"
    )
    path.write_text("of the host")
    yield path
    path.unlink()


def test_a_directory_in_proc_self_fd_is_not_the_hosts(
    place: Place, client: Connection, secret: Path
) -> None:
    """CVE-2024-21626: an exec whose working directory is a descriptor that the runtime forgot
    stands on the host. Neither a command's own directory nor the engine's exec gets there."""
    up = "../" * 12
    for number in range(3, 12):
        directory = f"/proc/self/fd/{number}"
        told = client.run(f"cat {up}{secret}", cwd=directory)
        assert "of the host" not in str(told), directory
        api = place.gateway.engine.api
        container_id = place.gateway.engine.container_of(place.sandbox_id)
        made = api.exec_create(
            container_id, ["cat", f"{up}{secret}"], user=f"{place.uid}:1000", workdir=directory
        )
        assert b"of the host" not in (api.exec_start(made["Id"]) or b""), directory


def test_a_program_that_is_the_runtime_leaves_the_hosts_untouched(place: Place) -> None:
    """CVE-2019-5736: the gateway's next exec runs the user's `python3`, which is a script for
    /proc/self/exe, that is the runtime itself. It must neither change nor run as root."""
    runtimes = [path for name in ("runc", "runsc", "docker-init") if (path := shutil.which(name))]
    before = {path: hashlib.sha256(Path(path).read_bytes()).digest() for path in runtimes}
    sandbox_id = place.create()
    first_in_path = "/home/user/.local/bin"
    try:
        with place.connect(sandbox_id) as client:
            client.output_of(
                f"mkdir -p {first_in_path} && cd {first_in_path} "
                "&& printf '#!/proc/self/exe\\n' > python3 "
                f"&& chmod +x {first_in_path}/python3"
            )
            # Of root's also the container's own first program would end, and the sandbox with it.
            client.ask("pkill -9 sbxgw" if place.level == "root" else "kill -9 -1")
            eventually(lambda: place.gateway.engine.agents(sandbox_id) == [])
        with place.connect(sandbox_id) as client:
            answer = client.run("id -u", within_s=40)
            uid = place.uid_in(sandbox_id)
            assert answer.get("code") in TYPED or answer["output"] == f"{uid}\n", answer
        after = {path: hashlib.sha256(Path(path).read_bytes()).digest() for path in runtimes}
        assert after == before
    finally:
        assert place.gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 200
