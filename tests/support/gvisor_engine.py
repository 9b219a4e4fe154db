"""A Docker Engine of the tests' own, next to the machine's: with gVisor, and gone afterwards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import psutil

from tests.support.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]
IMAGE = os.environ.get("SANDBOX_IMAGE", "sandbox-websocket-image")

KEPT = {"labels": ["kept=yes"], "runtimes": {"other": {"path": "runc"}}}
"""What an operator had configured before gVisor was set up."""

_LEFT_OUT = (
    *("proc", "sys", "usr/lib/gcc", "usr/include", "usr/share", "usr/libexec/gcc"),
    *("usr/lib/*/perl", "usr/lib/python3*/config-*", "usr/lib/*/gconv"),
    *("usr/lib/*/lib[atlu]*san.so*", "usr/lib/*.a", "usr/bin/*lto-dump*"),
)
"""What no test here needs, compilers above all: loading takes the engine 4 s for 100 MB."""


@dataclass(frozen=True)
class GvisorEngine:
    address: str
    configuration: Path
    set_up: str
    """What scripts/setup_gvisor.sh said."""


@contextmanager
def engine_with_gvisor(directory: Path) -> Iterator[GvisorEngine]:
    """An engine without networks of its own, to which scripts/setup_gvisor.sh was applied while
    it ran, with the sandbox image. Installs runsc where it is missing."""
    configuration = directory / "daemon.json"
    configuration.write_text(json.dumps(KEPT))
    address = f"unix://{directory}/docker.sock"
    process = _start(directory, configuration, address)
    try:
        eventually(lambda: _answers(address, process), within_s=30, every_s=0.2)
        _copy_image(address)
        said = subprocess.run(
            [
                str(ROOT / "scripts/setup_gvisor.sh"),
                *("--config", str(configuration), "--pid", str(directory / "docker.pid")),
                *("--host", address),
            ],
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert said.returncode == 0, said.stdout + said.stderr
        yield GvisorEngine(address, configuration, said.stdout + said.stderr)
    finally:
        _stop(process, address, directory)


def _start(directory: Path, configuration: Path, address: str) -> subprocess.Popen[bytes]:
    with (directory / "dockerd.log").open("wb") as log:
        return subprocess.Popen(
            [
                # With --bridge=none, dockerd deletes docker0: not the machine's own engine's.
                *("setpriv", "--pdeathsig", "TERM", "--", "unshare", "--net", "--", "dockerd"),
                *("--config-file", str(configuration), "--host", address),
                *("--data-root", str(directory / "data"), "--exec-root", str(directory / "exec")),
                *("--pidfile", str(directory / "docker.pid")),
                # It touches neither the machine's interfaces nor its packet filter.
                *("--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _answers(address: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None, "the engine did not start: see dockerd.log"
    with socket.socket(socket.AF_UNIX) as probe:
        if probe.connect_ex(address.removeprefix("unix://")) != 0:
            return False
    return True


def _copy_image(address: str) -> None:
    """The file system of the image, without what takes long and no test here needs."""
    leave_out = [f"--exclude=./{path}" for path in _LEFT_OUT]
    ours = docker.APIClient(version="auto")
    path = next(
        entry for entry in ours.inspect_image(IMAGE)["Config"]["Env"] if entry.startswith("PATH=")
    )
    ours.close()
    source = subprocess.Popen(
        [
            *("docker", "run", "--rm", "--network=none", "--user=0", "--entrypoint=tar", IMAGE),
            *("-c", "-C", "/", *leave_out, "--one-file-system", "."),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    changes = [f"--change=ENV {path}", "--change=USER user", "--change=WORKDIR /home/user"]
    subprocess.run(
        ["docker", "--host", address, "import", *changes, "-", IMAGE],
        stdin=source.stdout,
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=100,
    )
    assert source.stdout is not None
    source.stdout.close()
    assert source.wait(30) in (0, 1)  # 1: "file changed as we read it"


def _stop(process: subprocess.Popen[bytes], address: str, directory: Path) -> None:
    if process.poll() is None:
        client = docker.APIClient(base_url=address, version="auto", timeout=60)
        for container in client.containers(all=True):
            client.remove_container(container["Id"], force=True, v=True)
        client.close()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    # Its containerd and what gVisor left, all of which carry the directory in their arguments.
    for found in psutil.process_iter(["cmdline"]):
        if any(str(directory) in word for word in found.info["cmdline"] or ()):
            found.kill()
    for mount in _mounts_under(directory):
        subprocess.run(["umount", "--lazy", mount], check=False)
    shutil.rmtree(directory / "data", ignore_errors=True)
    shutil.rmtree(directory / "exec", ignore_errors=True)


def _mounts_under(directory: Path) -> list[str]:
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return sorted((m for m in mounts if m.startswith(f"{directory}/")), reverse=True)
