"""One lease in the store, and the requests that share it."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.process.use_marks import Mark
from gateway.store.leases import Unused

LINGER_S = 1.0
"""How long a lease stays after the last request that shared it. Programs that work over REST ask
again sooner; a person does not."""

SHORT_IDLE_S = 2 * LINGER_S
"""Where the idle timeout is shorter, leases are given back at once: a sandbox whose time is over
would stay for as long as its lease lingers."""


@dataclass(eq=False)
class SharedLease:
    """Boot times in seconds. `counts_as_client`: one of its requests has taken long."""

    lease_id: str
    sandbox_id: str
    idle_timeout_s: float
    mark: Mark
    uses: set[RequestLease] = field(default_factory=set)
    last_used: float = 0.0
    counts_as_client: bool = False

    @property
    def lingers(self) -> bool:
        """Whether it stays for the next request: not where others could not tell that from use."""
        is_brief = self.idle_timeout_s < SHORT_IDLE_S
        return not (self.counts_as_client or is_brief or self.mark.slot is None)

    @property
    def unused(self) -> Unused:
        return Unused(self.lease_id, self.sandbox_id, self.last_used)


@dataclass(eq=False)
class RequestLease:
    """One request's right to use a sandbox. A `gateway.use.place.Place`."""

    shared: SharedLease
    began: float
    container_id: str = ""
    owner: str = ""

    @property
    def sandbox_id(self) -> str:
        return self.shared.sandbox_id
