"""End this gateway, if it runs, and remove all its sandboxes: what `./start.sh --stop-all` does.

Which gateway is meant, the settings say (SANDBOX_DATA_DIR, SANDBOX_INSTANCE), as at its start.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from gateway import clock
from gateway.engine.docker.docker_engine import DockerEngine
from gateway.errors import GatewayError
from gateway.host import packet_filter
from gateway.host.packet_filter import hindrance_of
from gateway.process.master_lock import running_master
from gateway.sandboxes.spec.container_labels import INSTANCE
from gateway.settings import OWN_NETWORK, Settings, load_settings
from gateway.store.database import Database
from gateway.store.end_records import EndRecordStore
from gateway.store.pool import PoolStore
from gateway.store.sandboxes import SandboxStore

STOP_S = 20.0
AT_A_TIME = 8


def main() -> int:
    """The process's exit status: 0 when nothing is left."""
    try:
        settings = load_settings()
        end_gateway(settings)
        count = remove_sandboxes(settings)
        note_the_end(settings)
    except GatewayError as error:
        print(f"stop-all: {error}", file=sys.stderr)
        return 1
    print(f"stop-all: {count} sandboxes were removed")
    return 0


def end_gateway(settings: Settings) -> None:
    """Tell it to stop and wait until it has. Raises GatewayError when it does not."""
    pid = running_master(settings.data_dir)
    if pid is None:
        return
    print(f"stop-all: ending the gateway (process {pid})")
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S
    while running_master(settings.data_dir) is not None:
        if time.monotonic() > deadline:
            raise GatewayError(f"process {pid} did not end within {STOP_S:g} s")
        time.sleep(0.1)


def remove_sandboxes(settings: Settings) -> int:
    """Remove every container with this gateway's label; how many there were. Raises the engine's
    errors."""
    engine = DockerEngine(settings.engine_timeout)
    try:
        found = engine.containers({INSTANCE: settings.instance_id})
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            list(pool.map(engine.remove, [one.container_id for one in found]))
        _open_network(engine, settings)
        return len(found)
    finally:
        engine.close()


def _open_network(engine: DockerEngine, settings: Settings) -> None:
    """Take the packet filter's rules away, unless another gateway's sandboxes are behind them."""
    hindered = hindrance_of(settings, local=engine.is_local()) is not None
    if hindered or engine.containers({INSTANCE: ""}):
        return
    bridge = engine.bridge(settings.network)
    packet_filter.remove(bridge.interface if bridge else OWN_NETWORK)


def note_the_end(settings: Settings) -> None:
    """So that whoever asks for one of them later is told why it is no more."""
    if not (settings.data_dir / "gateway.db").exists():
        return
    database = Database(settings.data_dir / "gateway.db")
    try:
        endings, pool = EndRecordStore(database), PoolStore(database)
        for row in SandboxStore(database).live():
            endings.mark_ended(
                row.sandbox_id,
                "deleted",
                ended_at=clock.wall_s(),
                detail="all sandboxes of the gateway were removed",
            )
        for row in pool.all():
            pool.drop(row.sandbox_id)
    finally:
        database.close()


if __name__ == "__main__":
    sys.exit(main())
