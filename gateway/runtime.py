"""What a worker process owns: where the parts meet."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from gateway import __version__
from gateway.api.ports.watch import OpenExchanges
from gateway.api.rest.backend import ReadinessService
from gateway.api.rest.stoppable_waits import Waiting
from gateway.api.ws.keep_alive import Connections
from gateway.commands.background_commands import BackgroundCommandWatcher
from gateway.commands.docker_exec_runner import DockerExecRunner
from gateway.commands.history import CommandHistory
from gateway.commands.run_and_steer import Commands
from gateway.commands.run_once import OnceRegister
from gateway.engine import container_hardening
from gateway.engine.docker.docker_engine import DockerEngine
from gateway.engine.failure_count import counted
from gateway.engine.interface import Engine
from gateway.errors import (
    AgentUnavailable,
    ContainerGone,
    GatewayFull,
    TooManyCommands,
    TooManyConnections,
    TooManyPortConnections,
    TooManyStreams,
    TooMuchQueued,
    TooMuchUnread,
)
from gateway.files.file_links import FileLinks
from gateway.files.service import ArchiveLimits, Files
from gateway.health.posture import Posture
from gateway.health.readiness import Readiness
from gateway.identity import token_secret
from gateway.identity.access import Access
from gateway.identity.access_tokens import TokenSigner
from gateway.identity.key_source import source_of
from gateway.identity.rate_limits import RateLimits
from gateway.identity.slots import Slots
from gateway.link.bulk import Bulk
from gateway.link.dial import Known, dial, dial_files
from gateway.link.dial import uid_of as uid_of_user
from gateway.link.link import Link
from gateway.link.links import Links
from gateway.logs.audit_log_file import log_of
from gateway.metrics import Exposition, Metrics
from gateway.middleware.connection_limits import ClientConnections, bounded_by_descriptors
from gateway.ports.dialling import Container, Ports
from gateway.process.byte_budget import ByteBudget
from gateway.process.change_feed import ChangeFeed
from gateway.process.change_signal import ChangeSignal
from gateway.process.housekeeping import Housekeeping
from gateway.process.leadership import Leadership
from gateway.process.private_files import close_to_others
from gateway.process.worker_locks import WorkerRegistry
from gateway.sandboxes.create.admission_controller import AdmissionController
from gateway.sandboxes.create.capacity import capacity_of
from gateway.sandboxes.create.containers import Containers
from gateway.sandboxes.create.creation import Creation
from gateway.sandboxes.create.pool_links import Standby
from gateway.sandboxes.create.warm_pool import Plan, Pool
from gateway.sandboxes.ending.removal import Removal
from gateway.sandboxes.life.changes_by_clients import Changes
from gateway.sandboxes.life.event_followers import Followers
from gateway.sandboxes.life.event_history import Lifecycle
from gateway.sandboxes.life.list_and_lease import Sandboxes
from gateway.sandboxes.life.pause_and_resume import PauseAndResume
from gateway.sandboxes.life.sandbox_check import SandboxCheck
from gateway.sandboxes.spec.container_labels import uid_of
from gateway.sandboxes.spec.policy import policy_of
from gateway.sandboxes.spec.spec_resolver import SpecResolver
from gateway.sandboxes.upkeep.dead_workers import DeadWorkers
from gateway.sandboxes.upkeep.engine_events import Watch
from gateway.sandboxes.upkeep.expiry import Expiry
from gateway.sandboxes.upkeep.host_enforcement import Enforcement
from gateway.sandboxes.upkeep.reconcile_with_engine import Reconciliation
from gateway.settings import MIB, Settings
from gateway.store.admission import AdmissionStore
from gateway.store.allowance import Allowance
from gateway.store.census import StoreCensus
from gateway.store.database import Database
from gateway.store.end_records import EndRecordStore
from gateway.store.events import EventStore
from gateway.store.history import HistoryStore
from gateway.store.leases import LeaseStore
from gateway.store.names import NameTable
from gateway.store.once import OnceTable
from gateway.store.ownership import OwnershipTable
from gateway.store.pool import PoolStore
from gateway.store.sandboxes import SandboxStore
from gateway.use.sandbox_use import LINK_KEPT_S

RECONCILE_S = 5.0
TAKE_OVER_S = 1.0
SWEEP_S = 0.5
FORGET_S = 3600.0
CHECKPOINT_S = 2.0


class Runtime:
    """Everything a worker process owns. Made after the fork; `start` begins the greenlets.

    Raises StoreUnavailable when the data directory cannot be used. An engine that does not answer
    is no hindrance.
    """

    def __init__(self, settings: Settings) -> None:
        self._pid = os.getpid()
        self._started = False
        self._settings = settings
        data_dir = settings.data_dir
        close_to_others(data_dir)
        self._signal = ChangeSignal(data_dir / "changes")
        self._database = Database(
            data_dir / "gateway.db",
            Allowance.of(settings.store_mb_per_key),
            tell=self._signal.send,
        )
        self._feed = ChangeFeed(self._database.version, self._signal)
        self._workers = WorkerRegistry(data_dir / "workers")
        self._store = SandboxStore(self._database)
        self.access = self._access()
        self.clients = ClientConnections(
            bounded_by_descriptors(settings.max_connections), settings.max_connections_per_client
        )
        self.audit_log = log_of(settings)
        self.metrics = Metrics(data_dir / "metrics")
        self.exposition = Exposition(self.metrics.slot, StoreCensus(self._database), __version__)
        self.engine: Engine = counted(
            DockerEngine(settings.engine_timeout), self.metrics.engine_failed
        )
        self._directly = settings.link == "auto"
        self._links = Links(self._dial)
        self._file_links = Links(self._dial_files)
        self._history = CommandHistory(HistoryStore(self._database), self._links)
        self._build_commands()
        self._build_ports()
        self._build_sandboxes()
        self._build_housekeeping()

    def _access(self) -> Access:
        settings, data_dir = self._settings, self._settings.data_dir
        tenancy = OwnershipTable(self._database)
        self.find_by_name = NameTable(self._database).id_of
        return Access(
            source_of(settings),
            TokenSigner(token_secret.load_or_create(data_dir / "token_secret")),
            owners=tenancy,
            generations=tenancy,
            rates=RateLimits(data_dir / "due"),
            token_ttl_s=settings.token_ttl,
        )

    def _build_commands(self) -> None:
        settings = self._settings
        self.websockets = Slots(settings.websockets_per_key, TooManyConnections)
        self.streams = Slots(settings.streams_per_key, TooManyStreams)
        budget = self.held_output = ByteBudget(
            settings.held_output_bytes,
            settings.held_output_per_key_bytes,
            own_full=TooMuchUnread,
            all_full=GatewayFull,
        )
        self.held_input = ByteBudget(
            settings.held_input_bytes,
            settings.held_input_per_key_bytes,
            own_full=TooMuchQueued,
            all_full=GatewayFull,
        )
        self.commands = Commands(
            self._links,
            DockerExecRunner(self.engine, budget, self._user_of),
            budget,
            OnceRegister(OnceTable(self._database)),
            self._history,
            settings.max_output_bytes,
            self.metrics,
            Slots(settings.commands_per_key, TooManyCommands),
            self.streams,
        )
        self.files = Files(
            FileLinks(self._file_links, self._open_bulk),
            self.held_output,
            self.held_input,
            ArchiveLimits(
                settings.archive_mb * MIB, settings.archive_entries, settings.archive_timeout
            ),
        )
        self.waiting = Waiting()

    def _build_ports(self) -> None:
        self.ports = Ports(self._links, self.engine, self._container_of, directly=self._directly)
        self.exchanges = OpenExchanges()
        self.port_connections = Slots(
            self._settings.port_connections_per_key, TooManyPortConnections
        )

    def _build_sandboxes(self) -> None:
        settings, worker_id = self._settings, self._workers.worker_id
        leases = self._leases = LeaseStore(self._database)
        self._events = EventStore(self._database)
        admission = AdmissionStore(self._database, settings.uid_range)
        resolver = self._resolver = SpecResolver(policy_of(settings), self.engine.host)
        self._enforcement = Enforcement(
            self.engine, settings, self._store.live, self._end_for_its_disk
        )
        self.posture = posture_of(self.engine, settings, self._enforcement)
        containers = self._containers = Containers(
            self.engine, self._enforcement, settings.instance_id, settings.network
        )
        self._removal = Removal(
            EndRecordStore(self._database),
            self.engine,
            self._drop_links,
            self._history.last_look,
            worker_id,
            self.metrics.ended,
        )
        self._pausing = PauseAndResume(self._store, self.engine, worker_id, self._feed)
        check = SandboxCheck(
            self._store,
            self.engine,
            self._removal,
            self._pausing,
            self._history.of,
            self._feed,
        )
        self.sandboxes = Sandboxes(
            self._store,
            leases,
            self.engine,
            check,
            self._pausing,
            settings.instance_id,
            worker_id,
            self._links.alive,
        )
        self.changes = Changes(self._store, check, self._removal, self._pausing, resolver)
        pool_store = PoolStore(self._database, settings.uid_range)
        self._standby = Standby(
            pool_store.containers,
            partial(self.commands.using, linger_s=LINK_KEPT_S),
            self.commands.warm_up,
            self._feed,
        )
        self._pool = Pool(
            pool_store,
            admission,
            self.engine,
            containers,
            resolver,
            Plan(settings.pooled, settings.pool_size, settings.max),
            self._warm,
            lambda: len(self._store.live()),
            worker_id,
            self._feed,
        )
        admission_controller = AdmissionController(
            admission,
            capacity_of(settings),
            resolver.host,
            self.engine.is_local,
            worker_id,
            self._feed,
        )
        self.creation = Creation(
            self._store,
            self.engine,
            admission_controller,
            resolver,
            containers,
            self._pool,
            self._removal,
            self._probe,
            self._warm,
            worker_id,
            self.metrics,
            self._feed,
        )
        self.lifecycle = Lifecycle(
            self._events,
            self._store,
            Followers(self._events, self._feed, settings.followers_per_key),
        )
        self.watcher = BackgroundCommandWatcher(self._links, self.engine, self.sandboxes)
        self.connections = Connections(
            self.sandboxes, settings.ping_interval, self._feed, self.access.lapsed
        )
        self.readiness: ReadinessService = Readiness(
            self.engine, self._store, settings.image, self.posture
        )

    def _build_housekeeping(self) -> None:
        settings = self._settings
        expiry = Expiry(self._store, self._removal, self._pausing, self.watcher, settings.warning)
        dead_workers = DeadWorkers(
            self._store,
            self._leases,
            self._containers,
            self._removal,
            self._pausing,
            self._pool,
            self.watcher,
            self._workers,
        )
        reconciliation = Reconciliation(
            self._store,
            self._events,
            self.engine,
            self._removal,
            self._pausing,
            self._pool,
            self._resolver,
            self.watcher,
            settings.instance_id,
        )
        self._housekeeping = Housekeeping(
            Leadership(settings.data_dir / "housekeeping.lock"),
            [
                ("take over", TAKE_OVER_S, dead_workers.take_over),
                ("reconcile", RECONCILE_S, reconciliation.compare),
                ("expire", SWEEP_S, expiry.sweep),
                (
                    "forget",
                    FORGET_S,
                    partial(reconciliation.forget_after, settings.certificate_days),
                ),
                ("checkpoint", CHECKPOINT_S, self._database.checkpoint),
                *self._enforcement.jobs(),
            ],
            duties=[
                Watch(self.engine, reconciliation, settings.instance_id).follow,
                self._pool.tend_for_ever,
            ],
            on_failure=self.metrics.housekeeping_failed,
        )

    # --- what the parts need of each other -----------------------------------------------------

    def _dial(self, container_id: str) -> Link:
        link = dial(
            self.engine,
            container_id,
            directly=self._directly,
            known_of=self._known_of,
        )
        link.count(self.metrics.links_changed)
        return link

    def _dial_files(self, container_id: str) -> Link:
        with self._links.using(container_id, LINK_KEPT_S):
            link = dial_files(
                self.engine,
                container_id,
                directly=self._directly,
                known_of=self._known_of,
                agent=self._links.get(container_id),
            )
        link.count(self.metrics.links_changed)
        return link

    def _open_bulk(self, container_id: str, message: dict[str, Any]) -> Bulk:
        known = self._known_of(container_id)
        if not (self._directly and self.engine.is_local()) or known.pid is None:
            raise AgentUnavailable("there is no direct way")
        return Bulk(container_id, known.pid, uid_of_user(known.user), message)

    def _drop_links(self, container_id: str) -> None:
        self._file_links.drop(container_id)
        self._links.drop(container_id)

    def _known_of(self, container_id: str) -> Known:
        """Of what its agent may keep: of its sandbox's own memory, and no more than a quarter."""
        settings, row = self._settings, self._store.of_container(container_id)
        memory_mb = row.memory_mb if row is not None and row.memory_mb else settings.memory_mb
        limits = {
            "stream_bytes": settings.retain_output_mb * MIB,
            "total_bytes": min(settings.retain_total_mb, memory_mb / 4) * MIB,
            "retain_s": settings.retain_s,
        }
        if row is not None:
            return Known(row.pid, limits, container_hardening.user_of(row.uid))
        # It is being made for the pool: only the engine knows it yet.
        container = self.engine.inspect(container_id)
        return Known(container.pid, limits, container_hardening.user_of(uid_of(container.labels)))

    def _container_of(self, container_id: str) -> Container:
        row = self._store.of_container(container_id)
        if row is None:
            return Container(None, has_own_stack=True)
        return Container(row.pid, has_own_stack=row.isolation == "gvisor")

    def _user_of(self, container_id: str) -> str:
        row = self._store.of_container(container_id)
        uid = uid_of(self.engine.inspect(container_id).labels) if row is None else row.uid
        return container_hardening.user_of(uid)

    def _end_for_its_disk(self, sandbox_id: str, why: str) -> None:
        row = self._store.get(sandbox_id)
        if row is not None and self._removal.claim(sandbox_id, "disk", why):
            self._removal.carry_out(row)

    def _warm(self, container_id: str) -> None:
        """Start the agent in a container, if its image can run one."""
        with self.commands.using(container_id, LINK_KEPT_S):
            self.commands.warm_up(container_id)

    def _probe(self, container_id: str, has_new_limits: bool) -> None:
        """Make sure that a container runs. An answer over its link proves it, and whoever created
        the sandbox will want the link in a moment."""
        if has_new_limits:
            self._links.drop(container_id)  # agents are told their limits at the beginning of one
        if self._links.alive(container_id) or (self._directly and self.engine.is_local()):
            with self.commands.using(container_id, LINK_KEPT_S):
                self.commands.make_sure(container_id)
        elif self.engine.inspect(container_id).state != "running":
            raise ContainerGone(f"container {container_id:.12} does not run")

    # --- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to keep house and to look after connections. Further calls do nothing."""
        if self._started:
            return
        if os.getpid() != self._pid:
            raise RuntimeError("the application was made before the fork: do not use --preload")
        self._started = True
        self._history.start()
        self._standby.start()
        self.connections.start()
        self._housekeeping.start()

    def close(self) -> None:
        """Send every client its close frame or an answer, and let go of everything. Commands go on.

        May be repeated.
        """
        self._housekeeping.close()
        self._enforcement.close()
        self.creation.close()
        self._standby.close()
        self.waiting.close()
        self.exchanges.close()
        self.connections.close()
        self._history.close()

    def release(self) -> None:
        """After `close`, when all handlers have returned: free what they used."""
        self.watcher.close()
        self._file_links.close()
        self.ports.close()
        self._links.close()
        self.engine.close()
        self._workers.close()
        self.access.close()
        if self.audit_log is not None:
            self.audit_log.close()
        self._database.close()
        self._signal.close()
        self.metrics.close()


def posture_of(
    engine: Engine, settings: Settings, enforcement: Enforcement | None = None
) -> Posture:
    """What is known of the host's safety, for a worker and, without what a worker enforces, for
    the look before the start."""
    if enforcement is None:
        enforcement = Enforcement(engine, settings, list, lambda _sandbox_id, _why: None)
    return Posture(engine, settings.required, further=enforcement.checks())
