"""What is done with snapshots of sandboxes."""

from __future__ import annotations

from gateway.commands.file_effects import FileEffects
from gateway.process.owner_turns import OwnerTurns
from gateway.runtime.endings import Endings
from gateway.runtime.foundation import Foundation
from gateway.runtime.inside_sandboxes import InsideSandboxes
from gateway.runtime.sandbox_services import SandboxServices
from gateway.sandboxes.snapshots.as_images import ImageSnapshots
from gateway.sandboxes.snapshots.base_images import BaseImages
from gateway.sandboxes.snapshots.comparing import Comparing
from gateway.sandboxes.snapshots.forking import Forking
from gateway.sandboxes.snapshots.holding import Holding
from gateway.sandboxes.snapshots.keeping import Keeping
from gateway.sandboxes.snapshots.restarting import Restarting
from gateway.sandboxes.snapshots.restoring import Restoring
from gateway.sandboxes.snapshots.taking import SnapshotLimits, Taking
from gateway.sandboxes.snapshots.watching import Watching
from gateway.settings import MIB
from gateway.store.command_changes import CommandChangesTable


class SnapshotServices:
    """Implements `gateway.api.rest.backend.SnapshotServices`."""

    def __init__(
        self,
        base: Foundation,
        inside: InsideSandboxes,
        services: SandboxServices,
        endings: Endings,
    ) -> None:
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
            services.resolver.host,
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
        self.restarting = Restarting(holding, holds, check, base.engine, guard, services.drop_links)
        turns = OwnerTurns()
        self.comparing = Comparing(
            store, self.taking, check, base.engine, host, names, turns, base.metrics
        )
        watching = Watching(self.taking, check, base.engine, host, turns, base.metrics)
        self.effects = endings.closing.add(
            FileEffects(
                self.taking,
                self.keeping.give_up,
                watching,
                CommandChangesTable(base.database),
                inside.once,
                worker_id,
                base.workers.is_alive,
                inside.commands.wait_until_ended,
            )
        )
        self.forking = Forking(self.taking, self.keeping, services.creation, check)
