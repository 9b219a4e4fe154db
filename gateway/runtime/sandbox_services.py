"""What is done with sandboxes as a whole: created, shown, used, changed, ended."""

from __future__ import annotations

from functools import partial

from gateway.api.rest.backend import ReadinessService
from gateway.api.ws.keep_alive import Connections
from gateway.commands.background_commands import BackgroundCommandWatcher
from gateway.health.readiness import Readiness
from gateway.host.container_use import use_of
from gateway.link.links import drop_everywhere
from gateway.runtime.endings import Endings
from gateway.runtime.foundation import Foundation
from gateway.runtime.inside_sandboxes import InsideSandboxes
from gateway.sandboxes.create.admission_controller import AdmissionController
from gateway.sandboxes.create.capacity import capacity_of
from gateway.sandboxes.create.containers import Containers
from gateway.sandboxes.create.creation import Creation
from gateway.sandboxes.create.pool_links import Standby
from gateway.sandboxes.create.pooled_snapshots import PooledSnapshots
from gateway.sandboxes.create.snapshot_bases import Bases
from gateway.sandboxes.create.warm_pool import Plan, Pool
from gateway.sandboxes.ending.removal import Removal
from gateway.sandboxes.life.changes_by_clients import Changes
from gateway.sandboxes.life.event_followers import Followers
from gateway.sandboxes.life.event_history import Lifecycle
from gateway.sandboxes.life.list_and_lease import Sandboxes
from gateway.sandboxes.life.pause_and_resume import PauseAndResume
from gateway.sandboxes.life.port_rules import PortRules
from gateway.sandboxes.life.request_leases import RequestLeases
from gateway.sandboxes.life.requests_at_work import RequestsAtWork
from gateway.sandboxes.life.sandbox_check import SandboxCheck
from gateway.sandboxes.life.usage_samples import UsageSamples
from gateway.sandboxes.snapshots.host_side import SnapshotNames
from gateway.sandboxes.spec.policy import policy_of
from gateway.sandboxes.spec.spec_resolver import SpecResolver
from gateway.sandboxes.upkeep.full_disks import FullDisks
from gateway.sandboxes.upkeep.host_enforcement import Enforcement
from gateway.store.admission import AdmissionStore
from gateway.store.end_records import EndRecordStore
from gateway.store.events import EventStore
from gateway.store.holds import HoldStore
from gateway.store.leases import LeaseStore
from gateway.store.pool import PoolStore
from gateway.store.snapshots import SnapshotStore
from gateway.store.templates import TemplateStore
from gateway.use.sandbox_use import LINK_KEPT_S


class SandboxServices:
    """What is done with sandboxes as a whole, by clients and by the gateway itself."""

    def __init__(self, base: Foundation, inside: InsideSandboxes, endings: Endings) -> None:
        settings, engine, store, feed = base.settings, base.engine, base.store, base.feed
        worker_id = base.workers.worker_id
        self.leases = LeaseStore(base.database)
        self.events = EventStore(base.database)
        self.holds = HoldStore(base.database)
        self.snapshot_store = SnapshotStore(base.database)
        self.snapshot_names = SnapshotNames(settings.instance_id)
        self.drop_links = partial(
            drop_everywhere, [inside.file_links, inside.context_links, inside.links]
        )
        self.template_store = TemplateStore(base.database)
        self.resolver = SpecResolver(policy_of(settings), engine.host, self.template_store.image_of)
        self.removal = Removal(
            EndRecordStore(base.database),
            engine,
            self.drop_links,
            inside.history.last_look,
            worker_id,
            base.metrics.ended,
        )
        self.enforcement = endings.closing.add(
            Enforcement(engine, settings, store.live, FullDisks(store, self.removal).end)
        )
        self.posture = self.enforcement.posture()
        self.readiness: ReadinessService = Readiness(engine, store, settings.image, self.posture)
        self.pausing = PauseAndResume(store, engine, worker_id, feed)
        check = self.check = SandboxCheck(
            store,
            engine,
            self.removal,
            self.pausing,
            inside.history.of,
            feed,
            RequestsAtWork(self.leases, base.use_marks),
        )
        self.sandboxes = Sandboxes(
            store,
            self.leases,
            engine,
            check,
            self.pausing,
            settings.instance_id,
            worker_id,
            inside.links.alive,
            self.holds,
        )
        self.changes = Changes(store, check, self.removal, self.pausing, self.resolver)
        self.port_rules = PortRules(store.get)
        self.usage = UsageSamples(settings.data_dir / "usage", store.live, use_of)
        self.lifecycle = Lifecycle(
            self.events, store, Followers(self.events, feed, settings.followers_per_key)
        )
        self.watcher = endings.releasing.add(
            BackgroundCommandWatcher(inside.links, engine, self.sandboxes, inside.users)
        )
        self.request_leases = endings.releasing.add(
            RequestLeases(self.leases, self.sandboxes, self.watcher, base.use_marks, worker_id)
        )
        self.connections = endings.closing.add(
            Connections(self.sandboxes, settings.ping_interval, feed, base.access.lapsed)
        )
        self._build_creation(base, inside, endings)

    def _build_creation(self, base: Foundation, inside: InsideSandboxes, endings: Endings) -> None:
        settings, engine, store, feed = base.settings, base.engine, base.store, base.feed
        worker_id = base.workers.worker_id
        admission = AdmissionStore(base.database, settings.uid_range)
        pool_store = PoolStore(base.database, settings.uid_range)
        pooled = PooledSnapshots(
            settings.pooled_snapshots,
            settings.operator_names if base.access.needs_key else {""},
            self.snapshot_store,
        )
        bases = self.bases = Bases(
            self.snapshot_store,
            settings.disk_mb,
            settings.isolation,
            self.snapshot_names.of,
            pooled,
        )
        self.containers = Containers(
            engine, self.enforcement, settings.instance_id, settings.network, bases.of
        )
        self.standby = endings.closing.add(
            Standby(
                pool_store.containers,
                partial(inside.commands.using, linger_s=LINK_KEPT_S),
                inside.commands.warm_up,
                feed,
            )
        )
        self.pool = Pool(
            pool_store,
            admission,
            engine,
            self.containers,
            self.resolver,
            Plan(settings.pooled, settings.pooled_with_root, settings.pool_size, settings.max),
            inside.warm_pooled,
            lambda: len(store.live()),
            worker_id,
            feed,
            bases,
        )
        admission_controller = AdmissionController(
            admission,
            capacity_of(settings),
            self.resolver.host,
            engine.is_local,
            worker_id,
            feed,
        )
        self.creation = endings.closing.add(
            Creation(
                store,
                engine,
                admission_controller,
                self.resolver,
                self.containers,
                self.pool,
                self.removal,
                inside.readying.probe,
                inside.readying.warm,
                inside.links.drop,
                worker_id,
                base.metrics,
                feed,
                bases,
            )
        )
