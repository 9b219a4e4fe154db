"""Modules that workers use, imported once, in gunicorn's master.

Importing takes 0.9 s of processor time, which each worker spent after its fork, and again when it
was replaced. What was imported before is there, in memory that all share. The master never uses it.

gevent must have patched what a module takes from the standard library *by name* while it is
imported; what is looked up when it is called may be patched later. Locks and TLS are taken by name
everywhere, so these are patched in the master. Nothing else is: it forks, waits, sleeps and hears
signals as gunicorn means it, and has no event loop that a fork could break.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata

from gevent import monkey


def patch_what_is_taken_by_name() -> None:
    """Before anything but gunicorn is imported. Once: gevent looks after threads at each fork, and
    would do so twice, and fail."""
    with plugins_looked_for_once():
        if not monkey.is_module_patched("threading"):
            monkey.patch_thread()
            monkey.patch_ssl()


def patch_the_rest() -> None:
    """In a worker, and all where there was no master that has patched."""
    wanted = not monkey.is_module_patched("threading")
    with plugins_looked_for_once():
        monkey.patch_all(thread=wanted, ssl=wanted)


def import_for_workers() -> None:
    """In the master, before its first fork.

    Frozen, it is looked at by no collection, whose marks would copy each shared page.
    """
    gc.disable()
    import gateway.app  # noqa: F401 - not before gunicorn's configuration was read

    gc.freeze()
    gc.enable()


@contextmanager
def plugins_looked_for_once() -> Iterator[None]:
    """gevent asks all that is installed for plugins, again for each of the 25 steps of its patch:
    with 89 packages it took 0.2 s of a worker's start. No second thread runs meanwhile."""
    look, found = metadata.entry_points, metadata.entry_points()
    metadata.entry_points = found.select
    try:
        yield
    finally:
        metadata.entry_points = look
