"""One context: a kernel, and the executions that wait for it."""

from collections import deque
from typing import Any

from ..operations.table import Refused
from .kernel_process import KernelProcess
from .records import failure

MOST_WAITING = 64
"""Executions. More are refused."""

PATIENCE_S = (1.0, 2.0, 2.0)
"""Between the signals of an interrupt that must succeed; at the end the kernel is killed."""


class Context:
    """Owns a kernel, which is made anew when it has died. One execution at a time; they begin in
    the order of their coming."""

    def __init__(self, loop, interpreter, context_id, cwd):
        self.context_id = context_id
        self.cwd = cwd
        self._loop = loop
        self._interpreter = interpreter
        self._kernel: Any = None
        self._running: Any = None
        self._waiting = deque()

    def start(self):
        """Have a kernel ready. Raises Refused where the sandbox has no room for a process."""
        if self._kernel is None:
            try:
                self._kernel = KernelProcess(self._loop, self._interpreter, self.cwd, self)
            except OSError as error:
                raise Refused("too_many_commands", "no process for code: %s" % error) from None

    def add(self, execution):
        """Let an execution begin, now or when those before it have ended. Raises Refused."""
        if len(self._waiting) >= MOST_WAITING:
            raise Refused("too_many_executions", "%d wait already" % MOST_WAITING)
        self.start()
        self._waiting.append(execution)
        self._begin_next()

    def _begin_next(self):
        while self._running is None and self._waiting:
            execution = self._running = self._waiting.popleft()
            try:
                self._hand_over(execution.request)
            except (OSError, Refused) as error:
                self._running = None
                execution.fail("KernelDied", "no kernel could be started: %s" % error)

    def _hand_over(self, request):
        self.start()
        try:
            self._kernel.execute(request)
        except OSError:
            # It has died, and nobody has looked since.
            self._kernel.close()
            self._kernel = None
            self.start()
            self._kernel.execute(request)

    # --- what clients want -----------------------------------------------------------------------

    def interrupt(self):
        """What runs gets a KeyboardInterrupt, if something runs."""
        if self._running is not None:
            self._kernel.interrupt()

    def is_waiting(self, execution):
        """Whether it has not begun."""
        return execution in self._waiting

    def leave(self, execution):
        """Nobody waits for an execution any more: make room for the next one, and keep the state
        if that can be done within seconds."""
        if execution in self._waiting:
            self._waiting.remove(execution)
        elif execution is self._running:
            self._kernel.resume()
            self.insist(execution)

    def insist(self, execution, tries=0):
        """Interrupt until the execution has ended. A kernel that does not heed it is killed."""
        if execution is not self._running or self._kernel is None:
            return
        if tries == len(PATIENCE_S):
            self._kernel.kill()
            return
        self._kernel.interrupt()
        self._loop.after(PATIENCE_S[tries], lambda: self.insist(execution, tries + 1))

    def end(self, why):
        """End the kernel, and all that runs or waits."""
        ended = [self._running] if self._running is not None else []
        ended += self._waiting
        self._running = None
        self._waiting.clear()
        kernel, self._kernel = self._kernel, None
        if kernel is not None:
            kernel.close()
        for execution in ended:
            execution.fail("KernelEnded", why)

    def pause(self):
        """Read nothing from the kernel, which then waits, until `resume`."""
        if self._kernel is not None:
            self._kernel.pause()

    def resume(self, execution):
        """The execution has room again."""
        if execution is self._running and self._kernel is not None:
            self._kernel.resume()

    # --- what the kernel does --------------------------------------------------------------------

    def told(self, record):
        """Something was written or shown. What nobody waits for is dropped."""
        if self._running is not None:
            self._running.told(record)

    def finished(self):
        """The kernel is done with what was asked of it."""
        execution, self._running = self._running, None
        if execution is not None:
            execution.finish()
        if self._kernel is not None:
            self._kernel.resume()
        self._begin_next()

    def died(self, how):
        """The kernel is gone. The next execution gets a new one."""
        kernel, self._kernel = self._kernel, None
        kernel.close()
        if self._running is not None:
            self._running.told(failure("KernelDied", how))
        self.finished()
