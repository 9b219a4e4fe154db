"""What is done with snapshots of sandboxes."""

from __future__ import annotations

from gateway.runtime.foundation import Foundation
from gateway.runtime.sandbox_services import SandboxServices
from gateway.sandboxes.snapshots.as_images import ImageSnapshots
from gateway.sandboxes.snapshots.base_images import BaseImages
from gateway.sandboxes.snapshots.comparing import Comparing
from gateway.sandboxes.snapshots.forking import Forking
from gateway.sandboxes.snapshots.holding import Holding
from gateway.sandboxes.snapshots.keeping import Keeping
from gateway.sandboxes.snapshots.restoring import Restoring
from gateway.sandboxes.snapshots.taking import SnapshotLimits, Taking
from gateway.settings import MIB


class SnapshotServices:
    """Implements `gateway.api.rest.backend.SnapshotServices`."""

    def __init__(self, base: Foundation, services: SandboxServices) -> None:
        settings, worker_id = base.settings, base.workers.worker_id
        store, holds, names = services.snapshot_store, services.holds, services.snapshot_names
        check, guard = services.check, services.enforcement
        host = guard.snapshots
        holding = Holding(holds, check, base.engine, services.pausing, worker_id, base.feed)
        images = ImageSnapshots(base.engine, names)
        self.keeping = Keeping(store, host, names, images)
        self.base_images = BaseImages(store, base.engine, settings.instance_id)
        self.taking = Taking(
            store,
            self.keeping,
            holding,
            check,
            services.sandboxes,
            base.engine,
            host,
            images,
            names,
            guard,
            SnapshotLimits(settings.max_snapshots, settings.snapshots_mb * MIB),
            worker_id,
            base.metrics,
        )
        self.restoring = Restoring(
            store,
            holds,
            holding,
            self.taking,
            check,
            base.engine,
            guard,
            names,
            services.removal,
            services.drop_links,
            worker_id,
            base.metrics,
        )
        self.comparing = Comparing(
            store, self.taking, check, base.engine, host, names, base.metrics
        )
        self.forking = Forking(self.taking, self.keeping, services.creation, check)
