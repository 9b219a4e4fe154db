"""What is done to the copy of a disk before it is a snapshot: checked (e2fsck), and written out."""

from __future__ import annotations

import gevent

from gateway.errors import HostToolFailed
from gateway.host import programs
from gateway.host.file_clones import write_out
from gateway.host.nameless_files import HeldFile

_CHECKED = (0, 1)
"""Of e2fsck(8): nothing was wrong, or it is right now. Counts always are a little wrong, for a
file system without a journal writes them when it is unmounted."""


class CopyCheck:
    """Checks a copy, and has it written out, beside what else is to be done. It ends with the
    block."""

    def __init__(self, made: HeldFile) -> None:
        self._made = made
        self._at_work: gevent.Greenlet | None = None

    def __enter__(self) -> CopyCheck:
        return self

    def __exit__(self, *_: object) -> None:
        if self._at_work is not None:
            self._at_work.kill()

    def begin(self) -> None:
        """Once it is whole."""
        self._at_work = gevent.spawn(self._check)

    def wait(self) -> None:
        """Raises HostToolFailed and OSError."""
        assert self._at_work is not None
        error = self._at_work.get()
        if error is not None:
            raise error

    def _check(self) -> HostToolFailed | OSError | None:
        """The error is handed over, for gevent prints what is raised in its greenlets."""
        try:
            programs.run(["e2fsck", "-fy", self._made.path()], good=_CHECKED)
            write_out(self._made)
        except (HostToolFailed, OSError) as error:
            return error
        return None
