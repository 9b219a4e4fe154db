"""What a worker does before it answers: users wait for it, and so does every test of a gateway.

Each test has a process of its own, for this one has long imported everything.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parents[2]


def _in_a_process_of_its_own(code: str, data_dir: Path) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"SANDBOX_DATA_DIR": str(data_dir), "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


def test_what_few_workers_need_is_not_imported(tmp_path: Path) -> None:
    """The models of OpenAPI are for who reads the document, the scheduler for the one worker that
    does the housekeeping: a fifth of what a start costs together."""
    code = (
        "import json, sys, wsgi\n"
        "print(json.dumps([name for name in ('openapi_pydantic', 'apscheduler') "
        "if name in sys.modules]))"
    )

    assert _in_a_process_of_its_own(code, tmp_path) == []


def test_modules_are_made_without_the_collector_and_served_with_it(tmp_path: Path) -> None:
    """Left off, memory would grow for as long as the worker lives."""
    code = (
        "import gc, json, wsgi\n"
        "print(json.dumps([gc.isenabled(), gc.get_freeze_count() > 100_000]))"
    )

    assert _in_a_process_of_its_own(code, tmp_path) == [True, True]


def test_the_first_readers_of_the_document_all_get_it_whole(tmp_path: Path) -> None:
    """What is imported late is imported within a request, and others come meanwhile. The worker
    stands still for it, 0.4 s here; the bound leaves room for a busy machine."""
    code = """
import json, time
import wsgi
import gevent

def read(_):
    answer = wsgi.app.test_client().get("/openapi.json", headers={"Host": "localhost"})
    return answer.status_code, answer.get_data(as_text=True)

wsgi.app.before_request_funcs[None] = [  # the runtime's start would ask for an engine
    step for step in wsgi.app.before_request_funcs[None] if step.__name__ != "start"
]
begun = time.process_time()
jobs = [gevent.spawn(read, number) for number in range(20)]
gevent.joinall(jobs, raise_error=True)
took_s = time.process_time() - begun
statuses, texts = zip(*(job.value for job in jobs))
paths = len(json.loads(texts[0])["paths"])
print(json.dumps([sorted(set(statuses)), len(set(texts)), paths, took_s]))
"""

    statuses, different, paths, took_s = _in_a_process_of_its_own(code, tmp_path)

    assert (statuses, different) == ([200], 1)
    assert paths > 15
    assert took_s < 2


def test_what_is_installed_is_looked_through_once(tmp_path: Path) -> None:
    """gevent looks for plugins at each of 25 steps of its monkey-patching."""
    code = """
from importlib import metadata
from gevent import monkey
from gateway.server.modules_before_the_fork import plugins_looked_for_once

looked, listed, original = 0, metadata.distributions, metadata.entry_points

def distributions(**kind):
    global looked
    looked += 1
    return listed(**kind)

metadata.distributions = distributions
with plugins_looked_for_once():
    monkey.patch_all()
print([looked, int(metadata.entry_points is original), int(monkey.is_module_patched("socket"))])
"""

    assert _in_a_process_of_its_own(code, tmp_path) == [1, 1, 1]


def test_what_is_imported_before_the_fork_waits_for_no_thread(tmp_path: Path) -> None:
    """A lock, a socket or a sleep that a module took by name before gevent had patched it would
    stop a worker's hub. Looked for in all modules but those that gevent itself patches or replaces,
    after what master and worker do; and the master has no event loop, and no second thread."""
    code = """
import json, sys, threading, types
import gunicorn.arbiter
from gateway.server import gunicorn_config, gunicorn_worker
from gateway.server.modules_before_the_fork import import_for_workers, patch_the_rest
import_for_workers()
from gevent import _hub_local, monkey
in_master = [_hub_local.get_hub_if_exists() is not None, threading.active_count()]
patched_in_master = sorted(name for name in ("os", "queue", "select", "signal", "socket", "time")
                           if monkey.is_module_patched(name))
patch_the_rest()
import wsgi

originals = {
    id(original): f"{module}.{name}"
    for module, names in monkey.saved.items() if not module.startswith("_gevent")
    for name, original in names.items() if callable(original)
}
native_lock = type(monkey.get_original("_thread", "allocate_lock")())
kept = set()
for module_name, module in list(sys.modules.items()):
    root = module_name.partition(".")[0]
    if root in sys.stdlib_module_names or root in ("__main__", "gevent", "gunicorn"):
        continue
    for name, value in list(vars(module).items()):
        if id(value) in originals or isinstance(value, native_lock):
            kept.add(f"{module_name}.{name}")
        if isinstance(value, type) and value.__module__ == module_name:
            kept |= {f"{module_name}.{name}({originals[id(base)]})"
                     for base in value.__mro__ if id(base) in originals}
print(json.dumps([in_master, patched_in_master, sorted(kept), len(sys.modules) > 900]))
"""

    in_master, patched, kept, is_all_there = _in_a_process_of_its_own(code, tmp_path)

    assert is_all_there
    assert (in_master, patched) == ([False, 1], [])
    # The first asks for its own process, on purpose; a queue of this class waits by `threading`.
    assert kept == [
        "gateway.host.programs._waitpid",
        "requests.packages.urllib3.connectionpool._DEFAULT_QUEUE_CLASS",
        "urllib3.connectionpool._DEFAULT_QUEUE_CLASS",
    ]
