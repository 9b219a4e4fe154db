"""A Docker Engine of the tests' own, which may be stopped, killed and made to hang."""

from __future__ import annotations

import os
import secrets
import socket as sockets
import subprocess

import docker
import psutil

from scripts.lib import engine_remains
from tests.support.eventually import eventually
from tests.support.small_image import bring_small_image

START_S = 30.0
STOP_S = 30.0
"""Without live-restore it stops its containers first."""


class OwnEngine:
    """dockerd with its own containerd and folders, and no network. Needs root.

    Its containers need `network="none"`, and their image is `image`. Whatever happens to it, the
    machine's own engine does not notice. `close` removes all of it; when the test run is killed,
    the kernel kills dockerd and scripts/lib/sweep.py removes the rest.
    """

    image = "small-sandbox"
    """python3, bash and what the tests' commands use, out of the sandbox image."""

    def __init__(self) -> None:
        name = f"{engine_remains.PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
        self.folder = engine_remains.PARENT / name
        self.folder.mkdir(mode=0o700)
        self.socket = self.folder / "docker.sock"
        self.url = f"unix://{self.socket}"
        self.log_path = self.folder / "log"
        # What the machine's own engine is configured to do does not concern this one.
        (self.folder / "daemon.json").write_text("{}")
        self._live_restore = True
        self._dockerd: psutil.Popen | None = None
        self._containerd: psutil.Process | None = None

    def start(self, *, live_restore: bool = True) -> None:
        """Start it and wait until it answers; nothing, when it runs already like that.

        Without `live_restore`, containers end with the engine.
        """
        if self._dockerd is not None:
            self.go_on()
            if self._live_restore == live_restore and self._dockerd.poll() is None:
                return
            self.stop()
        self._live_restore = live_restore
        with self.log_path.open("ab") as log:
            self._dockerd = psutil.Popen(
                # Dies with the test run, however that ends; containerd dies with dockerd.
                ["setpriv", "--pdeathsig", "KILL", "--", *self._command()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        eventually(self._answers, within_s=START_S)
        (self._containerd,) = [
            child for child in self._dockerd.children() if child.name() == "containerd"
        ]

    def _command(self) -> list[str]:
        return [
            # With --bridge=none, dockerd deletes the interface docker0 when it starts: the one of
            # the machine's own engine, were it not in a network namespace of its own.
            *("unshare", "--net", "--"),
            "dockerd",
            *("--config-file", str(self.folder / "daemon.json")),
            *("--data-root", str(self.folder / engine_remains.DATA)),
            *("--exec-root", str(self.folder / engine_remains.EXEC)),
            *("--pidfile", str(self.folder / "pid")),
            *("--host", self.url),
            *("--group", "root"),
            *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"),
            *(["--live-restore"] if self._live_restore else []),
        ]

    def _answers(self) -> bool:
        assert self._dockerd is not None
        assert self._dockerd.poll() is None, f"it ended: {self.log()[-2000:]}"
        # By hand: a client of the SDK that does not come about leaves its socket open.
        with sockets.socket(sockets.AF_UNIX) as socket:
            socket.settimeout(5)
            try:
                socket.connect(str(self.socket))
                socket.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
                return b" 200 " in socket.recv(64)
            except OSError:
                return False

    def stop(self) -> None:
        """Tell it to stop and wait until it has: SIGTERM, as a service manager does."""
        assert self._dockerd is not None
        self._dockerd.terminate()
        self._gone()

    def kill(self) -> None:
        """`kill -9`. Its containers go on, whatever it was told."""
        assert self._dockerd is not None
        self._dockerd.kill()
        self._gone()

    def _gone(self) -> None:
        assert self._dockerd is not None
        self._dockerd.wait(STOP_S)
        self._dockerd = None
        if self._containerd is not None:
            self._containerd.wait(STOP_S)
            self._containerd = None

    def hang(self, *, whole: bool = True) -> None:
        """From now on it takes calls and answers none: SIGSTOP. With `whole` False only its
        containerd hangs: it still answers what concerns no process."""
        assert self._dockerd is not None
        assert self._containerd is not None
        if whole:
            self._dockerd.suspend()
        self._containerd.suspend()

    def go_on(self) -> None:
        """The end of `hang`."""
        for process in (self._containerd, self._dockerd):
            if process is not None and process.is_running():
                process.resume()

    def running(self) -> set[str]:
        """The ids of the containers that have a shim, which each running one has.

        An engine that is stopped between `create` and `start` of a container's process forgets
        it, and its shim waits for ever beside a `runc init`: in one of some 20 stops while
        sandboxes were being created. Nothing of the sandbox runs there and the engine's API does
        not reach it: not counted.
        """
        found = set()
        for process in psutil.process_iter(["name", "cmdline"]):
            command = process.info["cmdline"] or []
            ours = "containerd-shim" in process.info["name"] and f"{self.folder}/" in str(command)
            if ours and not _never_started(process):
                found.add(command[command.index("-id") + 1])
        return found

    def mounted(self) -> int:
        """How many containers have their filesystem mounted."""
        return sum(path.endswith("/merged") for path in engine_remains.mounts(self.folder))

    def log(self) -> str:
        """Everything that dockerd and containerd have written."""
        return self.log_path.read_text(errors="replace")

    @property
    def pid(self) -> int:
        """dockerd's."""
        assert self._dockerd is not None
        return self._dockerd.pid

    def open(self) -> None:
        """Start it for the first time, and give it its image."""
        self.start()
        bring_small_image(self.url, self.image, self.folder)

    def close(self) -> None:
        """Remove its containers, stop it, remove what is left. May be repeated."""
        if not self.folder.exists():
            return
        try:
            if self._dockerd is not None:
                self.go_on()
                self._remove_containers()
                self.stop()
        finally:
            engine_remains.remove(self.folder)

    def _remove_containers(self) -> None:
        api = docker.APIClient(self.url, version="auto", timeout=30)
        for container in api.containers(all=True):
            api.remove_container(container["Id"], force=True, v=True)
        api.close()


def _never_started(shim: psutil.Process) -> bool:
    try:
        inside = [child.cmdline() for child in shim.children()]
    except psutil.NoSuchProcess:
        return False
    return inside == [["runc", "init"]]
