"""gunicorn's configuration, from the gateway's settings:

gunicorn --config python:gateway.server.gunicorn_config wsgi:app
"""

from __future__ import annotations

from gateway.server.modules_before_the_fork import import_for_workers, patch_what_is_taken_by_name

patch_what_is_taken_by_name()  # nothing but gunicorn may be imported before

# ruff: noqa: E402
import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import SettingsError, StoreUnavailable
from gateway.host import cpu_priority, oom_score
from gateway.identity.key_source import source_of
from gateway.logs.audit_log_file import log_of
from gateway.logs.escaped_lines import FORMAT, OneLine
from gateway.process.master_lock import register_master, running_master
from gateway.process.memory_allocator import give_back_what_is_freed
from gateway.process.private_files import close_key_file, close_to_others, create_for_owner_only
from gateway.server.listen_addresses import bound, is_localhost, listened_on
from gateway.settings import check_reach, load_settings
from gateway.store.revision import is_behind

if TYPE_CHECKING:
    from gateway.runtime import Runtime

log = logging.getLogger(__name__)

_settings = load_settings()

bind = [bound(address, _settings.port) for address in listened_on(_settings.host)]
workers = _settings.workers
worker_class = "gateway.server.gunicorn_worker.GatewayWorker"
# Each open WebSocket takes one; the default of 1,000 would let idle clients shut REST out.
# The worker itself counts them, so that who is refused is refused, and not kept waiting.
worker_connections = 2 * _settings.max_connections + 1000
backlog = 2048
# Seconds that the hub may be blocked before the worker counts as hung.
timeout = 120
graceful_timeout = 10
keepalive = 75
# A proxy's word is not taken, wherever it comes from: every user of this machine is on loopback.
# `SCRIPT_NAME` as a header moved the addresses of a request; the scheme is not looked at.
forwarded_allow_ips = ""
forwarder_headers = ""
secure_scheme_headers: dict[str, str] = {}
loglevel = _settings.log_level
logger_class = "gateway.server.gunicorn_log.GunicornLog"
accesslog = None
# The control interface of gunicorn 25 and later is not used, so its socket is not opened.
control_socket_disable = True

_LOOK_S = 0.1

_mark: list[Any] = []
"""Holds the master's mark open."""


def on_starting(server: Any) -> None:
    """What would end every worker ends the start, in one line.

    In the master, once: a worker that refused would be started again, or take the others down. The
    command line may name another address than the settings: the same holds for it.
    """
    create_for_owner_only()
    try:
        close_to_others(_settings.data_dir)
        if _settings.api_keys_file:
            close_key_file(Path(_settings.api_keys_file))
        for address in server.cfg.address:
            if isinstance(address, tuple):
                check_reach(_settings, address[0])
        source_of(_settings)
        audit_log = log_of(_settings)
        if audit_log is not None:
            audit_log.close()
        must_migrate = is_behind(_settings.data_dir / "gateway.db")
    except SettingsError as error:
        sys.exit(str(error))
    except StoreUnavailable as error:
        sys.exit(f"The gateway does not start: {error}")
    # In processes of their own: they need an event loop, and this one must never have one.
    if must_migrate:
        pid = running_master(_settings.data_dir)
        if pid is not None:
            sys.exit(
                f"The gateway does not start: process {pid} is a gateway of an earlier version over"
                f" {_settings.data_dir}, whose store would have to be migrated. Stop it first"
            )
        # Here, where it may take longer than a worker may be silent.
        _call("gateway.store.migrate")
    if _settings.required:
        _call("gateway.server.start_check")
    oom_score.go_last()
    cpu_priority.go_first()
    _mark.append(register_master(_settings.data_dir))
    import_for_workers()


def _call(module: str) -> None:
    status = subprocess.call([sys.executable, "-m", module])  # noqa: S603 - one of ours
    if status:
        sys.exit(status)


def when_ready(server: Any) -> None:
    """Say where the gateway listens, and how to try it."""
    host = "localhost" if is_localhost(_settings.host) else _settings.host
    url = f"http://{host}:{_settings.port}"
    with_key = ' -H "X-API-Key: $GATEWAY_KEY"' if _settings.has_keys else ""
    hint = "  export GATEWAY_KEY=…  # an API key\n" if with_key else ""
    sys.stderr.write(
        f"""
Sandbox Gateway listens on {url}  (API: {url}/docs, end with Ctrl-C)

Paste these into another terminal, in this directory:
{hint}  ID=$(curl -s{with_key} -X POST {url}/sandboxes | cut -d'"' -f4); echo $ID
  ./scripts/run --url {url} $ID 'echo Hello from $(hostname); id'

"""
    )
    sys.stderr.flush()


def post_worker_init(worker: Any) -> None:
    """Start the runtime, and end it as soon as the worker is told to stop.

    gunicorn itself says nothing to open WebSockets until `graceful_timeout` and then cuts them.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(OneLine(FORMAT))
    logging.basicConfig(level=_settings.log_level.upper(), handlers=[handler])
    logging.captureWarnings(capture=True)
    # That a job is skipped because its last run still goes on is meant so.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    give_back_what_is_freed()
    import gevent  # after the worker's monkey-patching

    # gevent would write the tracebacks of greenlets to stderr itself.
    gevent.get_hub().print_exception = _log_failed_greenlet

    worker.write_timeout_s = _settings.write_timeout
    from gateway.process.time_shares import shares

    shares.start()
    runtime = _runtime(worker)
    runtime.start()
    if worker.age == 1:  # the first one; the others would say the same
        gevent.spawn(runtime.services.posture.report)

    def close_when_told_to_stop() -> None:
        while worker.alive:
            gevent.sleep(_LOOK_S)
        worker.take_no_more()
        runtime.close()

    gevent.spawn(close_when_told_to_stop)


def _log_failed_greenlet(context: Any, kind: Any, error: Any, trace: Any) -> None:
    """See `gevent.hub.Hub.print_exception`."""
    log.error("a greenlet failed: %.300r", context, exc_info=(kind, error, trace))


def worker_int(worker: Any) -> None:
    """Ctrl-C: the close frames still go out."""
    _runtime(worker).close()


def worker_exit(_server: Any, worker: Any) -> None:
    """The handlers have returned: free what they used."""
    if getattr(worker, "wsgi", None) is not None:
        runtime = _runtime(worker)
        try:
            runtime.close()
        finally:
            runtime.release()
        # Python takes gevent's modules apart before the handlers, each of which would ask them for
        # logging's lock then, and end in a traceback. What they had to write is written.
        logging._handlerList.clear()  # type: ignore[attr-defined]


def _runtime(worker: Any) -> Runtime:
    # Not imported above: this module is read before the fork and before the monkey-patching.
    from gateway.app import runtime_of

    return runtime_of(worker.wsgi)
