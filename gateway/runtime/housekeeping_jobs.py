"""What one of the workers does at intervals, for all of them."""

from __future__ import annotations

from functools import partial

from gateway.process.housekeeping import Housekeeping
from gateway.process.leadership import Leadership
from gateway.runtime.foundation import Foundation
from gateway.runtime.sandbox_services import SandboxServices
from gateway.runtime.snapshot_services import SnapshotServices
from gateway.runtime.template_services import TemplateServices
from gateway.sandboxes.life.usage_samples import EVERY_S
from gateway.sandboxes.upkeep.dead_workers import DeadWorkers
from gateway.sandboxes.upkeep.engine_events import Watch
from gateway.sandboxes.upkeep.expiry import Expiry
from gateway.sandboxes.upkeep.reconcile_with_engine import Reconciliation

RECONCILE_S = 5.0
TAKE_OVER_S = 1.0
SWEEP_S = 0.5
FORGET_S = 3600.0
CHECKPOINT_S = 2.0
SNAPSHOTS_S = 10.0
TEMPLATES_S = 10.0


def housekeeping(
    base: Foundation,
    services: SandboxServices,
    snapshots: SnapshotServices,
    templates: TemplateServices,
) -> Housekeeping:
    """The housekeeper with all its jobs; to be started."""
    settings = base.settings
    expiry = Expiry(
        base.store, services.removal, services.pausing, services.watcher, settings.warning
    )
    dead_workers = DeadWorkers(
        base.store,
        services.leases,
        services.containers,
        services.removal,
        services.pausing,
        services.pool,
        services.watcher,
        base.workers,
        snapshots.restoring,
        [snapshots.keeping, templates.keeping],
    )
    reconciliation = Reconciliation(
        base.store,
        services.events,
        base.engine,
        services.removal,
        services.pausing,
        services.pool,
        services.resolver,
        services.watcher,
        settings.instance_id,
    )
    forget = partial(reconciliation.forget_after, settings.certificate_days)
    return Housekeeping(
        Leadership(settings.data_dir / "housekeeping.lock"),
        [
            ("take over", TAKE_OVER_S, dead_workers.take_over),
            ("reconcile", RECONCILE_S, reconciliation.compare),
            ("expire", SWEEP_S, expiry.sweep),
            ("forget", FORGET_S, forget),
            ("checkpoint", CHECKPOINT_S, base.database.checkpoint),
            ("snapshots", SNAPSHOTS_S, snapshots.keeping.tidy),
            ("snapshots' images", SNAPSHOTS_S, snapshots.base_images.tidy),
            ("templates", TEMPLATES_S, templates.keeping.tidy),
            ("usage", EVERY_S, services.usage.take),
            *services.enforcement.jobs(),
        ],
        duties=[
            Watch(base.engine, reconciliation, settings.instance_id).follow,
            services.pool.tend_for_ever,
        ],
        on_failure=base.metrics.housekeeping_failed,
    )
