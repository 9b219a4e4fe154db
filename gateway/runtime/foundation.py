"""What all other parts stand on: the data directory, the store, the engine, who may do what."""

from __future__ import annotations

from gateway import __version__
from gateway.engine.docker.docker_engine import DockerEngine
from gateway.engine.failure_count import counted
from gateway.engine.interface import Engine
from gateway.identity import token_secret
from gateway.identity.access import Access
from gateway.identity.access_tokens import TokenSigner
from gateway.identity.key_source import source_of
from gateway.identity.rate_limits import RateLimits
from gateway.logs.audit_log_file import log_of
from gateway.metrics import Exposition, Metrics
from gateway.middleware.connection_limits import ClientConnections, bounded_by_descriptors
from gateway.process.change_feed import ChangeFeed
from gateway.process.change_signal import ChangeSignal
from gateway.process.private_files import close_to_others
from gateway.process.use_marks import UseMarks
from gateway.process.worker_locks import WorkerRegistry
from gateway.runtime.endings import Endings
from gateway.settings import Settings
from gateway.store.allowance import Allowance
from gateway.store.census import StoreCensus
from gateway.store.database import Database
from gateway.store.names import NameTable
from gateway.store.ownership import OwnershipTable
from gateway.store.sandboxes import SandboxStore


class Foundation:
    """Raises StoreUnavailable when the data directory cannot be used. An engine that does not
    answer is no hindrance."""

    def __init__(self, settings: Settings, endings: Endings) -> None:
        self.settings = settings
        data_dir = settings.data_dir
        close_to_others(data_dir)
        release = endings.releasing.add
        self.metrics = release(Metrics(data_dir / "metrics"))
        signal = release(ChangeSignal(data_dir / "changes"))
        self.database = release(
            Database(
                data_dir / "gateway.db",
                Allowance.of(settings.store_mb_per_key),
                tell=signal.send,
            )
        )
        self.feed = ChangeFeed(self.database.version, signal)
        self.store = SandboxStore(self.database)
        self.find_by_name = NameTable(self.database).id_of
        self.exposition = Exposition(self.metrics.slot, StoreCensus(self.database), __version__)
        self.audit_log = log_of(settings)
        if self.audit_log is not None:
            release(self.audit_log)
        tenancy = OwnershipTable(self.database)
        self.access = release(
            Access(
                source_of(settings),
                TokenSigner(token_secret.load_or_create(data_dir / "token_secret")),
                owners=tenancy,
                generations=tenancy,
                rates=RateLimits(data_dir / "due"),
                token_ttl_s=settings.token_ttl,
            )
        )
        self.clients = ClientConnections(
            bounded_by_descriptors(settings.max_connections), settings.max_connections_per_client
        )
        # Other workers take over what this one has in hand as soon as its lock is free: only the
        # store is needed after that.
        self.workers = release(WorkerRegistry(data_dir / "workers"))
        self.use_marks = release(UseMarks(data_dir / "workers", self.workers.worker_id))
        engine: Engine = counted(DockerEngine(settings.engine_timeout), self.metrics.engine_failed)
        self.engine = release(engine)
