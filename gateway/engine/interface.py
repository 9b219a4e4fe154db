"""What the rules need of a container engine.

Every call may block for at most the engine's time limit and raises `EngineUnavailable`,
`EngineTimeout` or `EngineRefused`, besides what it names itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Literal, Protocol

from gateway.settings import SHARED_UID

if TYPE_CHECKING:
    from gateway.engine.facts import EngineFacts

ContainerState = Literal["created", "running", "paused", "restarting", "removing", "exited", "dead"]

Isolation = Literal["standard", "strict", "gvisor"]


@dataclass(frozen=True)
class Limits:
    """What one sandbox may use at most."""

    memory_mb: int
    cpus: float
    pids: int
    file_size_mb: int
    disk_mb: int | None = None
    """Of what it may write; None where nothing limits it."""


@dataclass(frozen=True)
class ContainerSpec:
    """What the rules decide about a new container; hardening is the engine module's own matter."""

    name: str
    image: str
    network: str
    limits: Limits
    isolation: Isolation = "standard"
    uid: int = SHARED_UID
    """Of the user that commands run as."""
    has_root: bool = False
    """Whether processes may be started as user 0, with the few capabilities of `root`."""
    env: Mapping[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ContainerInfo:
    """A container as the engine describes it."""

    container_id: str
    state: ContainerState
    labels: dict[str, str]
    ip_address: str | None
    name: str = ""
    pid: int | None = None
    """Of the first process, on the engine's host; None unless it runs, and in lists."""
    exit_code: int | None = None
    oom_killed: bool = False
    """Whether the kernel has ever killed something in it for want of memory."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Of its first process; empty in lists."""
    layer: str | None = None
    """Directory on the engine's host that holds what it writes (overlay2's `diff` and `work`);
    None in lists, and with other storage drivers."""
    image_id: str | None = None
    """What it was made from; None in lists."""


@dataclass(frozen=True)
class ImageLayers:
    """An image as it lies on the engine's host."""

    image_id: str
    layers: tuple[str, ...]
    """Directories there, the topmost first; none with storage drivers other than overlay2."""


@dataclass(frozen=True)
class ImageInfo:
    """An image in a list."""

    image_id: str
    tags: tuple[str, ...]
    labels: Mapping[str, str]
    size_bytes: int
    """With all its layers."""


@dataclass(frozen=True)
class ContainerEvent:
    """Something that happened to a container: `die`, `oom`, `destroy`, `pause`, …"""

    action: str
    container_id: str
    labels: Mapping[str, str]
    at: float
    """Seconds since the epoch, by the engine's clock."""


@dataclass(frozen=True)
class ContainerUsage:
    """What a container uses at one moment. Counters begin with the container."""

    cpu_s: float
    cpu_percent: float
    """Of one core, over a fraction of a second."""
    memory_bytes: int
    pids: int
    disk_bytes: int | None
    """Written to its root file system; None where the engine does not say."""
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True)
class EngineHost:
    """The machine that the engine runs on, and what it offers there."""

    memory_bytes: int
    cpus: int
    runtimes: frozenset[str]
    offline_runtimes: frozenset[str] = frozenset()
    """Those that are configured to give containers no network."""
    direct_runtimes: frozenset[str] = frozenset()
    """Those that are configured to write into the container's own file system, and not into one
    that they keep above it."""
    data_root: str = ""
    """Directory there in which the engine keeps images and containers."""


@dataclass(frozen=True)
class BuildLimits:
    """What each step of a build may use at most."""

    memory_bytes: int
    cpus: float
    has_network: bool
    silence_s: float
    """Without a word of the builder's: then nothing more is expected."""


class Preparation(Protocol):
    """What is done to a container on the engine's host around its start. What these raise is
    raised by `start_container`, which undoes the container."""

    def before_start(self, container: ContainerInfo) -> None:
        """It is created, and its file system is not mounted."""

    def after_start(self, container: ContainerInfo) -> None:
        """It runs."""


@dataclass(frozen=True)
class Bridge:
    """A bridge network, as the engine's host sees it."""

    interface: str
    ipv6: bool
    gateway: str | None = None
    """The host's IPv4 address on it."""


@dataclass(frozen=True)
class ExecOutput:
    """A piece that a process wrote; `stream` is 1 for stdout and 2 for stderr."""

    stream: int
    data: bytes


class ExecStream(Protocol):
    """A process started in a container: its stdin, and its stdout and stderr as they come."""

    def receive(self) -> bytes:
        """The next piece of stdout, b"" at the end. Blocks without limit."""

    def send(self, data: bytes) -> None:
        """Write all of `data` to stdin. Raises EngineUnavailable when the stream is broken."""

    def error_text(self) -> str:
        """The end of what came on stderr so far, for a message to people."""

    def close(self) -> None:
        """Free the connection at once; stdin of the process is at its end. May be repeated."""


class ExecRun(Protocol):
    """A process without stdin, read to its end."""

    def output(self) -> Iterator[ExecOutput]:
        """Its output as it comes, to the end."""

    def returncode(self) -> int:
        """Its exit status, once `output` is at its end. Raises EngineRefused when unknown."""

    def close(self) -> None:
        """Free the connection. The process goes on: an engine cannot end it. May be repeated."""


class Engine(Protocol):
    """The engine's calls. One object per process; greenlets may share it."""

    def version(self) -> str:
        """The engine's name and version, for people."""

    def is_local(self) -> bool:
        """Whether containers' processes are processes of this host, as far as is known."""

    def host(self) -> EngineHost:
        """The engine's host."""

    def facts(self) -> EngineFacts:
        """What the safety of sandboxes rests on."""

    def has_image(self, image: str) -> bool:
        """Whether the image is there."""

    def image_id(self, image: str) -> str:
        """What the name stands for at the moment. Raises ImageMissing."""

    def image_layers(self, image: str) -> ImageLayers:
        """Where its files are on the engine's host. Raises ImageMissing."""

    def ensure_network(self, name: str) -> None:
        """Make the gateway's own bridge network if it is missing; others must be there."""

    def bridge(self, name: str) -> Bridge | None:
        """The bridge network of this name; None when there is none, or it is of another kind."""

    def start_container(
        self, spec: ContainerSpec, preparation: Preparation | None = None
    ) -> ContainerInfo:
        """Create and start a hardened container; on failure nothing of it is left behind, unless
        the engine does not answer at all.

        Raises ImageMissing.
        """

    def inspect(self, container_id: str) -> ContainerInfo:
        """Raises ContainerGone when there is no such container."""

    def containers(self, labels: dict[str, str]) -> list[ContainerInfo]:
        """All containers, running or not, that carry these labels; "" stands for any value."""

    def events(self, labels: dict[str, str], since: float | None) -> Iterator[ContainerEvent]:
        """What happens to containers that carry these labels, from `since` on (seconds since the
        epoch, by the engine's clock), or from now on.

        Blocks between events, without limit. Ends, or raises, when the engine goes away. The
        engine remembers the last 256 events only.
        """

    def written(self, labels: dict[str, str]) -> dict[str, int]:
        """Bytes written to the root file systems of all containers that carry these labels, by
        container id. The engine counts file by file."""

    def update(self, container_id: str, limits: Limits, isolation: Isolation = "standard") -> None:
        """Change memory, cpu and pids of a running container of this level. Raises
        ContainerGone."""

    def restart(self, container_id: str, preparation: Preparation | None) -> ContainerInfo:
        """Kill all its processes, and start it again after `preparation`; its file system stays,
        unless that changes it. What fails leaves it stopped. Raises ContainerGone."""

    def rename(self, container_id: str, name: str) -> None:
        """Raises ContainerGone."""

    def pause(self, container_id: str) -> None:
        """Pause all its processes; one that is paused already is a success. Raises
        ContainerGone."""

    def unpause(self, container_id: str) -> None:
        """Resume it; one that is not paused is a success. Raises ContainerGone."""

    def apparent_bytes(self, container_id: str) -> int:
        """The lengths of all files that it has written, holes included: what `commit` writes to
        the host's disk, whatever limits the container's own. Takes 0.3 s for 100,000 files. Raises
        ContainerGone."""

    def commit(self, container_id: str, image: str, labels: Mapping[str, str] | None = None) -> str:
        """Make an image (`repository:tag`) of its file system, and give the image's id. All its
        processes are paused meanwhile. Lost are users' extended attributes, sockets, names that
        begin with `.wh.`, and holes. It has the container's labels, and `labels` on top; of what
        the container was given as environment it has the names, with empty values. Raises
        ContainerGone."""

    def build(self, context: IO[bytes], image: str, limits: BuildLimits) -> Iterator[str]:
        """Build an image (`repository:tag`) of a tar archive with a Dockerfile, and give the
        builder's output as it comes. Whoever closes the iterator ends the build; images and
        containers in between may be left then. Raises BuildFailed."""

    def images(self, labels: dict[str, str]) -> list[ImageInfo]:
        """All images that carry these labels; "" stands for any value."""

    def name_image(self, image_id: str, name: str) -> None:
        """Give an image one more name (`repository:tag`). Raises ImageMissing."""

    def names_in(self, repository: str) -> dict[str, str]:
        """Ids of the images with names in a repository, by name."""

    def remove_image(self, image: str) -> None:
        """One that is not there is a success; one that has containers, or of which others were
        made, is refused."""

    def untag_image(self, image: str) -> None:
        """Take its name (`repository:tag`) away; the image itself goes with it, unless something
        needs it. One that is not there is a success."""

    def usage(self, container_id: str) -> ContainerUsage:
        """Takes a fraction of a second. Raises ContainerGone."""

    def remove(self, container_id: str) -> None:
        """Kill and remove; a container that is already gone, or going, is a success."""

    def running_execs(self, container_id: str) -> int:
        """How many processes started by `open_run` still run. Raises ContainerGone."""

    def open_stream(self, container_id: str, argv: list[str], user: str) -> ExecStream:
        """Start a process that is written to. Raises ContainerGone."""

    def open_run(
        self,
        container_id: str,
        argv: list[str],
        user: str,
        directory: str | None,
        environment: Mapping[str, str] | None = None,
    ) -> ExecRun:
        """Start a process that is only read; `environment` is added to the container's. Raises
        ContainerGone."""

    def close(self) -> None:
        """Drop all connections. May be repeated."""
