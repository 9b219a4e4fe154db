"""Where the parts meet: `create_app`, and the runtime that each worker process has."""

from __future__ import annotations

import os
from functools import partial
from typing import cast

from flask import Flask

from gateway import auditing, clock, guard, messages, origin, rest
from gateway.audit_log import log_of
from gateway.commands.budget import OutputBudget
from gateway.commands.occupancy import Occupancy
from gateway.commands.once import OnceRegister
from gateway.commands.plain import PlainRunner
from gateway.commands.service import Commands
from gateway.engine import hardening
from gateway.engine.docker_engine import DockerEngine
from gateway.engine.interface import Limits
from gateway.identity import secret
from gateway.identity.access import Access
from gateway.identity.key_source import source_of
from gateway.identity.rates import RateLimits
from gateway.identity.tokens import TokenSigner
from gateway.link.dial import dial
from gateway.link.links import Links
from gateway.rest import tokens
from gateway.rest.backend import ReadinessService
from gateway.rest.waiting import Waiting
from gateway.sandboxes.expiry import Expiry
from gateway.sandboxes.housekeeping import Housekeeping
from gateway.sandboxes.readiness import Readiness
from gateway.sandboxes.reconcile import Reconciliation
from gateway.sandboxes.removal import Removal
from gateway.sandboxes.service import Blueprint, Sandboxes
from gateway.settings import MIB, Settings, check_reach, load_settings
from gateway.store.database import Database
from gateway.store.once import OnceTable
from gateway.store.sandboxes import SandboxStore
from gateway.store.tenancy import TenancyTable
from gateway.store.workers import Leadership, WorkerRegistry
from gateway.ws import endpoint
from gateway.ws.connections import Connections

OUTPUT_BUDGET_BYTES = 128 * MIB
"""Of command output that one worker holds while it waits to be sent."""

MAX_BODY_BYTES = MIB

RECONCILE_S = 10.0
TAKE_OVER_S = 1.0
KEEP_ENDED_S = 7 * 86400.0

RECEIVE_BYTES = 16 * 1024
"""How much of a client's frames is read at a time."""

_EXTENSION = "sandbox-gateway"


class Runtime:
    """Everything a worker process owns. Made after the fork; `start` begins the greenlets.

    Raises StoreUnavailable when the data directory cannot be used. An engine that does not answer
    is no hindrance.
    """

    def __init__(self, settings: Settings) -> None:
        self._pid = os.getpid()
        self._started = False
        data_dir = settings.data_dir
        self._database = Database(data_dir / "gateway.db")
        self._workers = WorkerRegistry(data_dir / "workers")
        self._store = SandboxStore(self._database)
        self.tenancy = TenancyTable(self._database)
        self.access = Access(
            source_of(settings),
            TokenSigner(secret.load_or_create(data_dir / "token_secret")),
            owners=self.tenancy,
            generations=self.tenancy,
            rates=RateLimits(data_dir / "rates"),
            token_ttl_s=settings.token_ttl,
        )
        self.audit_log = log_of(settings)
        self.engine = DockerEngine(settings.engine_timeout)
        self._links = Links(
            partial(
                dial,
                self.engine,
                user=hardening.SANDBOX_USER,
                directly=settings.link == "auto",
                configuration=_agent_limits(settings),
            )
        )
        removal = Removal(self._store, self.engine, self._links.drop)
        self.sandboxes = Sandboxes(
            self._store,
            self.engine,
            removal,
            _blueprint(settings),
            self._workers.worker_id,
            self._links.alive,
        )
        budget = OutputBudget(OUTPUT_BUDGET_BYTES)
        plain = PlainRunner(self.engine, budget, hardening.SANDBOX_USER)
        self.commands = Commands(
            self._links,
            plain,
            budget,
            OnceRegister(OnceTable(self._database)),
            settings.max_output_bytes,
        )
        self.occupancy = Occupancy(self._links, self.engine, self.sandboxes)
        self.waiting = Waiting()
        self.connections = Connections(
            self.sandboxes.ended_among, settings.ping_interval, self.access.lapsed
        )
        self.readiness: ReadinessService = Readiness(self.engine, self._store, settings.image)
        expiry = Expiry(self._store, removal, self.occupancy, settings.idle_timeout)
        reconciliation = Reconciliation(
            self._store,
            self.engine,
            removal,
            self.occupancy,
            self._workers,
            settings.instance_id,
        )
        self._housekeeping = Housekeeping(
            Leadership(data_dir / "housekeeping.lock"),
            [
                ("take over", TAKE_OVER_S, reconciliation.take_over_from_dead_workers),
                ("reconcile", RECONCILE_S, reconciliation.compare),
                ("expire", _sweep_interval_s(settings.idle_timeout), expiry.sweep),
                ("forget", 3600.0, self._forget_ended),
            ],
            duty=reconciliation.follow_events,
        )

    def start(self) -> None:
        """Begin to keep house and to look after connections. Further calls do nothing."""
        if self._started:
            return
        if os.getpid() != self._pid:
            raise RuntimeError("the application was made before the fork: do not use --preload")
        self._started = True
        self.connections.start()
        self._housekeeping.start()

    def _forget_ended(self) -> None:
        self._store.forget_ended(before=clock.wall_s() - KEEP_ENDED_S)

    def close(self) -> None:
        """Send every client its close frame or an answer, and let go of everything. Commands go on.

        May be repeated.
        """
        self._housekeeping.close()
        self.waiting.close()
        self.connections.close()

    def release(self) -> None:
        """After `close`, when all handlers have returned: free what they used."""
        self.occupancy.close()
        self._links.close()
        self.engine.close()
        self._workers.close()
        self.access.close()
        if self.audit_log is not None:
            self.audit_log.close()
        self._database.close()


def create_app(settings: Settings | None = None) -> Flask:
    """The WSGI application, over a runtime of its own that starts with the first request.

    Raises SettingsError and StoreUnavailable.
    """
    settings = settings or load_settings()
    check_reach(settings, settings.host)
    runtime = Runtime(settings)
    app = Flask("gateway", static_folder=None)
    app.extensions[_EXTENSION] = runtime
    app.config["SOCK_SERVER_OPTIONS"] = {
        "max_message_size": settings.max_message_bytes,
        "receive_bytes": RECEIVE_BYTES,
        "subprotocols": guard.BearerSubprotocols(),
    }
    # In this order: each sees a request before those after it, and before any route.
    auditing.install(app, runtime.audit_log)
    origin.install(app, settings)
    guard.install(app, runtime.access)
    app.before_request(runtime.start)
    messages.install(app, settings.data_dir / "locale")
    rest.register(
        app,
        sandboxes=runtime.sandboxes,
        commands=runtime.commands,
        occupancy=runtime.occupancy,
        readiness=runtime.readiness,
        waiting=runtime.waiting,
        max_body_bytes=MAX_BODY_BYTES,
    )
    app.register_blueprint(tokens.blueprint(runtime.access))
    app.register_blueprint(
        endpoint.blueprint(
            runtime.sandboxes, runtime.commands, runtime.occupancy, runtime.connections
        )
    )
    return app


def runtime_of(app: Flask) -> Runtime:
    """The runtime behind an application that `create_app` made."""
    return cast(Runtime, app.extensions[_EXTENSION])


def _blueprint(settings: Settings) -> Blueprint:
    return Blueprint(
        instance_id=settings.instance_id,
        image=settings.image,
        network=settings.network,
        limits=Limits(
            memory_mb=settings.memory_mb,
            cpus=settings.cpus,
            pids=settings.pids,
            file_size_mb=settings.file_size_mb,
        ),
    )


def _agent_limits(settings: Settings) -> dict[str, float]:
    return {
        "stream_bytes": settings.retain_output_mb * MIB,
        "total_bytes": min(settings.retain_total_mb, settings.memory_mb / 4) * MIB,
        "retain_s": settings.retain_s,
    }


def _sweep_interval_s(idle_timeout_s: float) -> float:
    """Often enough that a sandbox outlives its time by a tenth at most."""
    return min(30.0, max(0.25, idle_timeout_s / 10))
