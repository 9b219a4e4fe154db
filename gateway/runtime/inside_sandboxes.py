"""What is done inside sandboxes: commands, files, connections to ports."""

from __future__ import annotations

from gateway.commands.docker_exec_runner import DockerExecRunner
from gateway.commands.history import CommandHistory
from gateway.commands.make_ready import Readying
from gateway.commands.run_and_steer import Commands
from gateway.commands.run_once import OnceRegister
from gateway.contexts.context_links import ContextLinks, links_to_contexts
from gateway.contexts.service import Contexts
from gateway.contexts.warming import Warming
from gateway.errors import (
    GatewayFull,
    TooManyCommands,
    TooManyExecutions,
    TooManyPortConnections,
    TooManyStreams,
    TooMuchQueued,
    TooMuchUnread,
)
from gateway.files.file_links import FileLinks, links_to_files
from gateway.files.service import ArchiveLimits, Files
from gateway.identity.slots import Slots
from gateway.link.dial import Dialler
from gateway.link.links import Links
from gateway.link.users import Users
from gateway.ports.dialling import Ports
from gateway.process.byte_budget import ByteBudget
from gateway.runtime.endings import Endings
from gateway.runtime.foundation import Foundation
from gateway.sandboxes.life.known_containers import KnownContainers
from gateway.settings import MIB, Settings
from gateway.store.history import HistoryStore
from gateway.store.once import OnceTable


class InsideSandboxes:
    """What is done inside sandboxes, and the links that it is done over."""

    def __init__(self, base: Foundation, endings: Endings) -> None:
        settings, engine = base.settings, base.engine
        release = endings.releasing.add
        directly = settings.link == "auto"
        known = KnownContainers(base.store, engine, settings)
        dialler = Dialler(engine, known.of, base.metrics.links_changed, directly=directly)
        self.users = Users(lambda container_id: known.of(container_id).has_root)
        self.links = release(Links(dialler.agent))
        self.file_links = release(links_to_files(self.links, dialler.files))
        self.history = endings.closing.add(
            CommandHistory(HistoryStore(base.database), self.links, self.users)
        )
        self.held_output, self.held_input = _budgets(settings)
        streams = Slots(settings.streams_per_key, TooManyStreams)
        self.once = OnceRegister(OnceTable(base.database))
        self.commands = Commands(
            self.links,
            DockerExecRunner(engine, self.held_output, known.of),
            self.held_output,
            self.once,
            self.history,
            settings.max_output_bytes,
            base.metrics,
            Slots(settings.commands_per_key, TooManyCommands),
            streams,
            self.users,
        )
        self.readying = Readying(self.commands, self.links, dialler, engine)
        self.files = Files(
            FileLinks(self.file_links, dialler.bulk),
            self.held_output,
            self.held_input,
            ArchiveLimits(
                settings.archive_mb * MIB, settings.archive_entries, settings.archive_timeout
            ),
            self.users,
        )
        self.context_links = release(links_to_contexts(self.links, dialler.contexts))
        self.contexts = Contexts(
            ContextLinks(self.context_links),
            self.held_output,
            Slots(settings.commands_per_key, TooManyExecutions),
            settings.max_contexts,
        )
        self.warming = Warming(self.links, dialler.warm_contexts)
        self.ports = release(Ports(self.links, engine, known.of, directly=directly))
        self.port_connections = Slots(settings.port_connections_per_key, TooManyPortConnections)

    def warm_pooled(self, container_id: str) -> None:
        """Make one that is to stand ready so: its agent runs and, where its image is made for code,
        a kernel. Raises what `Readying.warm` does."""
        self.readying.warm(container_id)
        self.warming.warm(container_id)


def _budgets(settings: Settings) -> tuple[ByteBudget, ByteBudget]:
    """For output that is held for clients, and for their input."""
    output = ByteBudget(
        settings.held_output_bytes,
        settings.held_output_per_key_bytes,
        own_full=TooMuchUnread,
        all_full=GatewayFull,
    )
    into = ByteBudget(
        settings.held_input_bytes,
        settings.held_input_per_key_bytes,
        own_full=TooMuchQueued,
        all_full=GatewayFull,
    )
    return output, into
