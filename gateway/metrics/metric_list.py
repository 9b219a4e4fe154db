"""What happened, in the words of the rules; one object per worker process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Literal

from gateway.errors import GatewayError
from gateway.metrics.metric_types import Counter, Histogram, LiveGauge
from gateway.metrics.multiprocess_slots import MultiprocessSlot

Kind = Literal["warm", "cold"]
Outcome = Literal["ok", "nonzero", "timed_out", "lost", "unseen"]

CREATE_BOUNDS_S = (
    *(0.005, 0.01, 0.02, 0.03, 0.05, 0.075),
    *(0.1, 0.2, 0.3, 0.5, 0.75, 1, 2, 3, 5, 10, 30),
)
COMMAND_BOUNDS_S = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 1800),
)


class Metrics:
    """Counts, at 1 to 3 µs a time, and never blocks. For the hub's thread only.

    `directory` is common to all workers of a gateway. Raises StoreUnavailable.
    """

    def __init__(self, directory: Path) -> None:
        slot = self.slot = MultiprocessSlot(directory)
        self._creates = Counter(
            slot,
            "creates",
            "Sandboxes asked for: taken from the warm pool, or made for the request.",
            ("kind", "outcome"),
            product(("warm", "cold"), ("ok", "failed")),
        )
        self._create_seconds = Histogram(
            slot,
            "create_seconds",
            "From the request to a sandbox that is ready.",
            CREATE_BOUNDS_S,
            "kind",
            ("warm", "cold"),
        )
        self._pool_hits = Counter(
            slot, "pool_hits", "Creates that found what they needed in the warm pool."
        )
        self._pool_misses = Counter(
            slot, "pool_misses", "Creates that could have been served from an empty warm pool."
        )
        self._refusals = Counter(
            slot, "admission_refusals", "Creates refused for want of room.", ("reason",), ()
        )
        self._commands = Counter(
            slot,
            "commands",
            "Commands by their end. `lost`: it cannot be known. `unseen`: nobody waited for it, "
            "or its client left before.",
            ("outcome",),
            [(outcome,) for outcome in ("ok", "nonzero", "timed_out", "lost", "unseen")],
        )
        self._command_seconds = Histogram(
            slot,
            "command_seconds",
            "From taking a command on to its result, of those that were waited for.",
            COMMAND_BOUNDS_S,
        )
        self._command_output = Counter(
            slot,
            "command_output_bytes",
            "What was received of what commands wrote, once they had ended.",
        )
        self._websocket_bytes = Counter(
            slot,
            "websocket_bytes",
            "On open WebSockets, headers of frames included.",
            ("direction",),
            (("to_client",), ("from_client",)),
        )
        self._port_requests = Counter(
            slot,
            "port_requests",
            "Requests to servers in sandboxes. `answered`: by the server, whatever it said. "
            "`failed`: there was none, or it did not answer. `left`: the client did.",
            ("outcome",),
            [(outcome,) for outcome in ("answered", "failed", "left")],
        )
        self._port_bytes = Counter(
            slot,
            "port_bytes",
            "Between clients and servers in sandboxes: answers with their heads, what clients "
            "send without.",
            ("direction",),
            (("to_client",), ("from_client",)),
        )
        self._port_exchanges = LiveGauge(
            slot, "port_exchanges", "Requests to servers in sandboxes under way, tunnels included."
        )
        self._links = LiveGauge(slot, "links", "Open links to agents.")
        self._websockets = LiveGauge(slot, "websockets", "Open WebSockets.")
        self._workers = LiveGauge(slot, "workers", "Worker processes that are alive.")
        self._workers.add(1)
        self._engine_errors = Counter(
            slot, "engine_errors", "Failed calls to the engine, by code.", ("kind",), ()
        )
        self._ended = Counter(
            slot, "sandboxes_ended", "Sandboxes that are no more, by why.", ("reason",), ()
        )
        self._snapshots = Counter(
            slot,
            "snapshots",
            "Snapshots taken. `kept`: asked for. `checkpoint`: before a command. `fork`: for one.",
            ("kind",),
            (("kept",), ("checkpoint",), ("fork",)),
        )
        self._snapshot_pause_seconds = Histogram(
            slot,
            "snapshot_pause_seconds",
            "How long a sandbox stood still for a snapshot.",
            COMMAND_BOUNDS_S,
        )
        self._restores = Counter(
            slot,
            "restores",
            "Sandboxes brought back to a snapshot.",
            ("outcome",),
            (("ok",), ("failed",)),
        )
        self._changes = Counter(
            slot,
            "changes",
            "Looks at what changed in a sandbox. `command`: for one. `request`: asked for.",
            ("kind",),
            (("command",), ("request",)),
        )
        self._changes_seconds = Histogram(
            slot,
            "changes_seconds",
            "How long the walks through the files took for one.",
            COMMAND_BOUNDS_S,
        )
        self._template_builds = Counter(
            slot,
            "template_builds",
            "Builds of templates.",
            ("outcome",),
            (("ok",), ("failed",)),
        )
        self._template_build_seconds = Histogram(
            slot, "template_build_seconds", "How long builds of templates took.", COMMAND_BOUNDS_S
        )
        self._housekeeping_failures = Counter(
            slot, "housekeeping_failures", "Housekeeping jobs that failed.", ("job",), ()
        )

    # --- sandboxes -----------------------------------------------------------------------------

    def created(self, kind: Kind, seconds: float) -> None:
        """A sandbox is ready, `seconds` after it was asked for."""
        self._creates.add(1, kind, "ok")
        self._create_seconds.observe(seconds, kind)

    def create_failed(self, kind: Kind) -> None:
        """Nothing came of it. What was refused before it was tried is no failure."""
        self._creates.add(1, kind, "failed")

    def pool_hit(self) -> None:
        """A create takes a sandbox from the pool."""
        self._pool_hits.add(1)

    def pool_miss(self) -> None:
        """A create would have, but there is none."""
        self._pool_misses.add(1)

    def refused(self, reason: str) -> None:
        """Admission let a create go away. `reason` is one of a few."""
        self._refusals.add(1, reason)

    def ended(self, reason: str) -> None:
        """A sandbox is no more; to be said by the one worker that ended it."""
        self._ended.add(1, reason)

    def housekeeping_failed(self, job: str) -> None:
        """A job ended with an error."""
        self._housekeeping_failures.add(1, job)

    # --- snapshots -----------------------------------------------------------------------------

    def snapshot_taken(self, kind: Literal["kept", "checkpoint", "fork"], paused_s: float) -> None:
        """One is there; its sandbox stood still for so long."""
        self._snapshots.add(1, kind)
        self._snapshot_pause_seconds.observe(paused_s)

    def restored(self, outcome: Literal["ok", "failed"]) -> None:
        """A sandbox was brought back, or could not be."""
        self._restores.add(1, outcome)

    def changes_told(self, kind: Literal["command", "request"], seconds: float) -> None:
        """What changed in a sandbox was found out, by walks that took so long."""
        self._changes.add(1, kind)
        self._changes_seconds.observe(seconds)

    def template_built(self, outcome: Literal["ok", "failed"], seconds: float) -> None:
        """The build of a template has ended."""
        self._template_builds.add(1, outcome)
        self._template_build_seconds.observe(seconds)

    # --- commands and clients ------------------------------------------------------------------

    def command_ended(self, outcome: Outcome, seconds: float, output_bytes: int) -> None:
        """A command that was waited for has ended."""
        self._commands.add(1, outcome)
        self._command_seconds.observe(seconds)
        self._command_output.add(output_bytes)

    def command_went_on(self, outcome: Literal["lost", "unseen"]) -> None:
        """A command was started whose end is not known here."""
        self._commands.add(1, outcome)

    def sent(self, size: int) -> None:
        """Bytes went out on a WebSocket."""
        self._websocket_bytes.add(size, "to_client")

    def received(self, size: int) -> None:
        """Bytes came in on a WebSocket."""
        self._websocket_bytes.add(size, "from_client")

    @contextmanager
    def websocket(self) -> Iterator[None]:
        """One is open while inside."""
        self._websockets.add(1)
        try:
            yield
        finally:
            self._websockets.add(-1)

    # --- servers in sandboxes --------------------------------------------------------------------

    @contextmanager
    def port_exchange(self) -> Iterator[None]:
        """One is under way while inside."""
        self._port_exchanges.add(1)
        try:
            yield
        finally:
            self._port_exchanges.add(-1)

    @contextmanager
    def port_answer(self) -> Iterator[None]:
        """The head of an answer is waited for inside. A GatewayError is a failure, and all else
        the client's leaving or the gateway's end."""
        try:
            yield
        except GatewayError:
            self._port_requests.add(1, "failed")
            raise
        except BaseException:
            self._port_requests.add(1, "left")
            raise
        self._port_requests.add(1, "answered")

    def port_sent(self, size: int) -> None:
        """Bytes of an answer or of a tunnel went to the client."""
        self._port_bytes.add(size, "to_client")

    def port_received(self, size: int) -> None:
        """Bytes of a body or of a tunnel came from the client."""
        self._port_bytes.add(size, "from_client")

    # --- what is below -------------------------------------------------------------------------

    def links_changed(self, difference: int) -> None:
        """So many more links are open."""
        self._links.add(difference)

    def engine_failed(self, code: str) -> None:
        """A call to the engine ended with the error of this code."""
        self._engine_errors.add(1, code)

    def close(self) -> None:
        """Count no more, and leave the place to another worker. May be repeated."""
        self.slot.close()
