"""What only PostgreSQL does: its connections are several, and wait over sockets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gateway.store.database import Database
from gateway.store.events import EventStore
from tests.support.postgres_server import PostgresServer
from tests.support.prepared_python import PreparedPython

ROOT = Path(__file__).resolve().parents[2]

_WORKER = """
import gevent.monkey
gevent.monkey.patch_all()
import sys, gevent, gevent.event
from gateway.store.database import Database
from gateway.store.events import EventStore
from gateway.store.sandboxes import SandboxStore

database = Database(sys.argv[1])
other = Database(sys.argv[1])
held, free = gevent.event.Event(), gevent.event.Event()

def hold(connection):
    held.set()
    free.wait(20)

holder = gevent.spawn(other.write, hold)
held.wait(20)
waiting = [gevent.spawn(EventStore(database).note, "s", "oom", n=n) for n in range(3)]
turns = 0
for _ in range(20):
    gevent.sleep(0.01)
    turns += 1
    SandboxStore(database).live()
assert not any(one.ready() for one in waiting)
free.set()
gevent.joinall([holder, *waiting], timeout=20, raise_error=True)
print(turns, len(EventStore(database).since(0, sandbox_id="s", owner=None, limit=10)))
"""


def test_waiting_for_another_writer_stops_nobody(postgres_server: PostgresServer) -> None:
    """Under gevent's patches: other greenlets go on, and read, while writers wait for the lock."""
    done = subprocess.run(
        [sys.executable, "-c", _WORKER, postgres_server.new_place()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )

    assert done.stdout == "20 3\n", done.stderr


def test_numbers_of_events_become_visible_in_their_order(postgres_server: PostgresServer) -> None:
    """Of six processes that write at once: who has read up to a number has missed none before."""
    place = postgres_server.new_place()
    script = (
        "import sys; from gateway.store.database import Database\n"
        "from gateway.store.events import EventStore\n"
        "events = EventStore(Database(sys.argv[1]))\n"
        "for _ in range(50): events.note('s', 'oom')\n"
    )
    database = Database(place)
    writers = [PreparedPython(script, place) for _ in range(6)]
    seen: list[int] = []
    is_over = False
    while not is_over:
        is_over = not any(writer.is_running() for writer in writers)
        after = seen[-1] if seen else 0
        found = EventStore(database).since(after, sandbox_id=None, owner=None, limit=500)
        seen += [event.number for event in found]
    database.close()

    assert [writer.output(within_s=1) for writer in writers] == [""] * 6
    assert seen == sorted(seen)
    assert len(seen) == 300
