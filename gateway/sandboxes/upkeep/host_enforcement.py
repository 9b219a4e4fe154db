"""What is enforced on the engine's host around the sandboxes: their network, their disks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from gateway.engine import container_hardening
from gateway.engine.interface import (
    Bridge,
    ContainerInfo,
    Engine,
    Isolation,
    Preparation,
)
from gateway.health.posture import Posture, asked
from gateway.host import name_limits, oom_score, packet_filter, programs
from gateway.host.cpu_weight import CpuWeights
from gateway.host.disk_rate import DiskRate
from gateway.host.disk_watch import DiskWatch, Target
from gateway.host.egress_proxy import EgressProxy
from gateway.host.engine_files import EngineFiles
from gateway.host.file_clones import Way
from gateway.host.layer_disks import KeptDisk, LayerDisks
from gateway.host.layer_snapshots import LayerSnapshots
from gateway.host.layer_users import LayerUsers
from gateway.host.name_limits import NameLimits
from gateway.host.packet_filter import PacketFilter
from gateway.host.snapshot_disk import SnapshotDisk
from gateway.sandboxes.spec.container_labels import INSTANCE, has_root
from gateway.schemas.models import PostureCheck
from gateway.settings import SHARED_UID, Settings
from gateway.store.rows import SandboxRow

PACKET_FILTER_S = 5.0
PROXY_S = 5.0
DISK_S = 1.0
CPU_WEIGHTS_S = 0.5
STRAY_DISKS_S = 60.0

Job = tuple[str, float, Callable[[], None]]


_WAYS: Mapping[Way | None, str] = {
    "reflink": "reflink: snapshots and forks share blocks, whatever their size",
    "copy": "copy: snapshots and forks are written out; the disks' file system shares no blocks",
    None: "commit: snapshots are images of containers, which lose something and take seconds; "
    "sandboxes with users of their own have none, and none is restored",
}


class Steps:
    """Preparations of one container, one after the other."""

    def __init__(self, steps: Sequence[Preparation]) -> None:
        self._steps = steps

    def before_start(self, container: ContainerInfo) -> None:
        for step in self._steps:
            step.before_start(container)

    def after_start(self, container: ContainerInfo) -> None:
        for step in self._steps:
            step.after_start(container)


class SnapshotSteps:
    """The same with the files of a snapshot: implements
    `gateway.sandboxes.snapshots.restoring.SnapshotFiles`."""

    def __init__(self, disk: SnapshotDisk, further: Sequence[Preparation]) -> None:
        self._disk = disk
        self._steps = Steps([disk, *further])

    def make_ready(self, container: ContainerInfo) -> None:
        self._disk.make_ready(container)

    @property
    def in_place(self) -> bool:
        return self._disk.in_place

    def before_start(self, container: ContainerInfo) -> None:
        self._steps.before_start(container)

    def after_start(self, container: ContainerInfo) -> None:
        self._steps.after_start(container)


class Enforcement:
    """Implements `gateway.sandboxes.create.containers.HostGuard`. Owns the egress proxy.

    `live` are the sandboxes there are; `end` ends one whose disk is too full, and is told why.
    """

    def __init__(
        self,
        engine: Engine,
        settings: Settings,
        live: Callable[[], list[SandboxRow]],
        end: Callable[[str, str], None],
    ) -> None:
        self._engine = engine
        self._settings = settings
        local = engine.is_local()
        self._packet_filter = PacketFilter(
            self._bridge,
            partial(packet_filter.policy_of, settings, self._bridge),
            packet_filter.hindrance_of(settings, local=local),
        )
        self._name_limits = NameLimits(
            settings.name_rate, lambda: name_limits.hindrance_of(local=local)
        )
        self._disk_rate = DiskRate(settings.disk_write_mb_s)
        self._engine_files = EngineFiles(has_root, lambda: local and programs.is_root())
        self._cpu_weights = CpuWeights(live, engine.is_local)
        self._disks = LayerDisks(
            lambda: engine.host().data_root if local else "", settings.disk_dir
        )
        self.snapshots = LayerSnapshots(self._disks, settings.instance_id)
        self._users = LayerUsers(
            self._no_users, engine.image_layers, self._disks.checked, SHARED_UID
        )
        self._disk_watch = DiskWatch(
            self._disks,
            floor_mb=settings.disk_floor_mb,
            targets=lambda: [
                Target(row.sandbox_id, row.container_id, row.disk_mb, row.owner)
                for row in live()
                if row.container_id is not None and row.state in ("ready", "paused")
            ],
            layer_of=lambda container_id: engine.inspect(container_id).layer,
            written=lambda: engine.written({INSTANCE: settings.instance_id}),
            end=end,
        )
        self._proxy = EgressProxy(settings.egress_domain_names)

    def _bridge(self) -> Bridge | None:
        return self._engine.bridge(self._settings.network)

    # --- around a create -----------------------------------------------------------------------

    def check_room(self, more_bytes: int = 0) -> None:
        """Raises DiskFull when the host has no room for another sandbox, or for so much more, and
        the engine's errors."""
        self._disk_watch.check_room(more_bytes)

    def guard_network(self) -> None:
        """Set the packet filter's rules, before the first sandbox is on the network."""
        self._packet_filter.apply()

    def own_user(self, image: str, uid: int) -> Preparation | None:
        """What makes `uid` the user of a container, where this process may and the image allows
        it. Raises ImageMissing, HostToolFailed and the engine's errors."""
        return self._users.preparation(image, uid)

    def preparation(
        self, disk_mb: int | None, isolation: Isolation, user: Preparation | None
    ) -> Preparation | None:
        """What gives a container its user and its disk, and bounds how fast it writes there and
        what it asks for names. At level `strict` all that can be written to is in memory, and has
        its size already, and there is no network."""
        steps: list[Preparation] = [] if user is None else [user]
        if isolation != "strict":
            disk = self._disks.preparation(disk_mb)
            # What the user step has put into the layer is copied to the disk.
            steps += [] if disk is None else [disk, self._disk_rate]
            steps += [self._name_limits, self._engine_files]
        return Steps(steps) if steps else None

    def from_snapshot(self, name: str, disk_mb: int, uids: tuple[int, int]) -> SnapshotSteps:
        """In the place of `preparation`: a disk with the files of a snapshot, which the kernel
        bounds in the same way."""
        disk = self.snapshots.preparation(name, disk_mb, uids, self._disk_watch.check_room)
        return SnapshotSteps(disk, [self._disk_rate, self._name_limits, self._engine_files])

    def once_more(self) -> Preparation:
        """For a container that is started again with the disk that it has. One that has lost its
        disk is not started: what it wrote would be bounded by nothing."""
        kept = KeptDisk(self._disks)
        return Steps([kept, self._disk_rate, self._name_limits, self._engine_files])

    def _no_users(self) -> str | None:
        """Why sandboxes have no users of their own."""
        if not self._settings.uid_range:
            return "SANDBOX_UIDS is empty"
        if not self._engine.is_local():
            return "the engine is on another host"
        if not programs.is_root():
            return "only root gives files away"
        if not self._disks.sees_layers():
            return "the engine's files are not on this host"
        if self._engine.facts().security_options & {"userns", "rootless"}:
            return "the engine maps users to others"
        return None

    def variables(self) -> Mapping[str, str]:
        """By which programs in sandboxes find the egress proxy, where there is one."""
        if not self._settings.egress_domains or not self._packet_filter.active:
            return {}
        bridge = self._bridge()
        if bridge is None or bridge.gateway is None:
            return {}
        return packet_filter.proxy_variables(bridge.gateway, self._settings.egress_proxy_port)

    # --- all the time --------------------------------------------------------------------------

    def jobs(self) -> list[Job]:
        """What the housekeeper does: name, seconds between runs, work."""
        return [
            ("packet filter", PACKET_FILTER_S, self._packet_filter.apply),
            ("egress proxy", PROXY_S, self._keep_proxy),
            ("disk", DISK_S, self._disk_watch.look),
            ("stray disks", STRAY_DISKS_S, self._sweep_disks),
            ("CPU weights", CPU_WEIGHTS_S, self._cpu_weights.balance),
        ]

    def _keep_proxy(self) -> None:
        if self._settings.egress_domains and self._packet_filter.active:
            bridge = self._bridge()
            if bridge is not None and bridge.gateway is not None:
                self._proxy.start(bridge.gateway, self._settings.egress_proxy_port)

    def _sweep_disks(self) -> None:
        self._disks.sweep(self._layers)

    def _layers(self) -> set[str]:
        """Of every gateway's containers: several may have their disks in the same directory."""
        found = self._engine.containers({INSTANCE: ""})
        return {self._engine.inspect(one.container_id).layer or "" for one in found}

    def posture(self) -> Posture:
        """What is known of the host's safety."""
        return Posture(self._engine, self._settings.required, further=self._checks())

    def _checks(self) -> dict[str, Callable[[], PostureCheck]]:
        return {
            "users": asked(self._users.check),
            "network": asked(self._network),
            "disk": asked(self._disks.check),
            "disk_space": asked(self._disk_watch.check),
            "snapshots": self._snapshot_check,
            "oom": asked(partial(oom_score.check, container_hardening.OOM_SCORE_ADJ)),
        }

    def _snapshot_check(self) -> PostureCheck:
        way = self.snapshots.way()
        return PostureCheck(ok=way is not None, level="ok" if way else "notice", detail=_WAYS[way])

    def _network(self) -> tuple[bool, str]:
        holds, told = self._packet_filter.check()
        unlimited = self._name_limits.missing()
        return holds, told if unlimited is None else f"{told}; {unlimited}"

    def close(self) -> None:
        """Let go of the proxy; rules and disks stay. May be repeated."""
        self._proxy.close()


def posture_before_start(engine: Engine, settings: Settings) -> Posture:
    """What is known of the host's safety before there is a worker that enforces anything."""
    return Enforcement(engine, settings, list, lambda _sandbox_id, _why: None).posture()
