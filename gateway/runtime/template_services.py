"""What is done with templates."""

from __future__ import annotations

from gateway.engine.interface import BuildLimits
from gateway.runtime.foundation import Foundation
from gateway.runtime.sandbox_services import SandboxServices
from gateway.sandboxes.templates.building import TemplateLimits, Templates
from gateway.sandboxes.templates.keeping import TemplateKeeping
from gateway.settings import MIB, Settings


class TemplateServices:
    """Implements `gateway.api.rest.backend.TemplateServices`."""

    def __init__(self, base: Foundation, services: SandboxServices) -> None:
        settings, store, names = base.settings, services.template_store, services.snapshot_names
        self.keeping = TemplateKeeping(store, base.engine, names)
        self.building = Templates(
            store,
            self.keeping,
            base.engine,
            names,
            services.enforcement,
            _limits(settings),
            frozenset((*settings.allowed_images, *settings.own_templates)),
            settings.data_dir,
            base.workers.worker_id,
            base.metrics,
        )


def _limits(settings: Settings) -> TemplateLimits:
    return TemplateLimits(
        most=settings.max_templates,
        context_bytes=settings.template_context_mb * MIB,
        context_entries=settings.archive_entries,
        image_bytes=settings.template_mb * MIB,
        timeout_s=settings.template_timeout,
        build=BuildLimits(
            memory_bytes=settings.template_memory_mb * MIB,
            cpus=settings.cpus,
            has_network=settings.template_network != "none",
            silence_s=settings.template_timeout + 60,  # the whole has its own limit
        ),
    )
