"""From what a client asks for to what its sandbox is made with; what is not allowed is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from gateway import clock
from gateway.engine.interface import EngineHost
from gateway.errors import BadFields
from gateway.sandboxes.spec.isolation_levels import demand
from gateway.sandboxes.spec.isolation_levels import has_network as isolation_has_network
from gateway.sandboxes.spec.policy import Policy
from gateway.sandboxes.spec.sandbox_spec import SandboxSpec, asked_for
from gateway.schemas.models import SandboxChange, SandboxCreate, SandboxCreateInside

MIB = 1024 * 1024

HOST_KNOWN_S = 60.0
"""So long what the engine said about its host is taken for true."""

_ANY_HOST = EngineHost(memory_bytes=0, cpus=0, runtimes=frozenset())


class SpecResolver:
    """Reads requests. `host` asks the engine; `template_of` knows the images of templates, by their
    own names or those of the images."""

    def __init__(
        self,
        policy: Policy,
        host: Callable[[], EngineHost],
        template_of: Callable[[str], str | None] = lambda _word: None,
    ) -> None:
        self._template_of = template_of
        self._policy = policy
        self._ask_host = host
        self._host: EngineHost | None = None
        self._host_asked_at = 0.0

    def host(self) -> EngineHost:
        """The engine's host, as it was at most a minute ago. Raises the engine's errors."""
        now = clock.boot_s()
        if self._host is None or now - self._host_asked_at > HOST_KNOWN_S:
            self._host, self._host_asked_at = self._ask_host(), now
        return self._host

    def default(self) -> SandboxSpec:
        """What an empty request gets."""
        return self.resolve(SandboxCreate())

    def resolve(self, request: SandboxCreate) -> SandboxSpec:
        """Raises BadFields, which names every value that is refused, IsolationUnavailable,
        StoreUnavailable and the engine's errors."""
        policy, refusals = self._policy, _Refusals()
        isolation = request.isolation or policy.isolation
        # Asked only where it matters: without the engine, other requests are still judged.
        host = self.host() if isolation == "gvisor" else _ANY_HOST
        demand(isolation, host)
        has_network = policy.has_network and isolation_has_network(isolation, host)
        usual = self._usual("bridge" if has_network else "none")
        spec = SandboxSpec(**{**usual, **asked_for(request)})
        image = self._image_of(spec.image)
        if image is None:
            refusals.add("image", "not_allowed", "this image is not one of the allowed ones")
        else:
            spec = replace(spec, image=image)
        self._check_limits(request, refusals)
        if isolation == "strict" and request.disk_mb is not None:
            # All that can be written to is in memory there, and may take half of it.
            refusals.beyond("disk_mb", request.disk_mb, spec.memory_mb // 2)
        bounded = not isinstance(request, SandboxCreateInside) or request.max_idle_timeout_counts
        self._check_times(request.timeout, request.idle_timeout if bounded else None, refusals)
        if spec.network == "bridge" and not has_network:
            refusals.add("network", "not_available", "such sandboxes have no network here")
        if spec.root and not policy.may_have_root:
            refusals.add("root", "not_allowed", "the operator allows no root (SANDBOX_ALLOW_ROOT)")
        refusals.raise_any()
        return spec

    def _image_of(self, word: str) -> str | None:
        """The image that is meant, if it is allowed. Raises StoreUnavailable."""
        policy = self._policy
        if word in policy.images or word in policy.templates.values():
            return word
        return policy.templates.get(word) or self._template_of(word)

    def _usual(self, network: str) -> dict[str, Any]:
        """What the operator gives those who do not say."""
        policy = self._policy
        return {
            "image": policy.images[0],
            "isolation": policy.isolation,
            "network": network,
            "timeout_s": policy.timeout_s,
            "idle_timeout_s": policy.idle_timeout_s,
            **asdict(policy.limits),
        }

    def check_change(self, change: SandboxChange) -> None:
        """Raises BadFields for times beyond what is allowed."""
        refusals = _Refusals()
        idle_timeout = change.idle_timeout if "idle_timeout" in change.model_fields_set else None
        self._check_times(change.timeout, idle_timeout, refusals)
        refusals.raise_any()

    def check_lifetime(self, timeout_s: float) -> None:
        """Raises BadFields for more than is allowed."""
        refusals = _Refusals()
        self._check_times(timeout_s, None, refusals)
        refusals.raise_any()

    @property
    def may_have_root(self) -> bool:
        """Whether the operator allows sandboxes with root."""
        return self._policy.may_have_root

    def _check_limits(self, request: SandboxCreate, refusals: _Refusals) -> None:
        policy = self._policy
        if request.cpus is not None:
            refusals.beyond("cpus", request.cpus, policy.max_cpus, float(self.host().cpus))
        if request.memory_mb is not None:
            of_host = self.host().memory_bytes // MIB
            refusals.beyond("memory_mb", request.memory_mb, policy.max_memory_mb, of_host)
        if request.pids is not None:
            refusals.beyond("pids", request.pids, policy.max_pids)
        if request.disk_mb is not None:
            refusals.beyond("disk_mb", request.disk_mb, policy.max_disk_mb)

    def _check_times(
        self, timeout_s: float | None, idle_timeout_s: float | None, refusals: _Refusals
    ) -> None:
        if timeout_s is not None:
            refusals.beyond("timeout", timeout_s, self._policy.max_timeout_s)
        if idle_timeout_s is not None:
            refusals.beyond("idle_timeout", idle_timeout_s, self._policy.max_idle_timeout_s)


class _Refusals:
    """Collects what is wrong, so that a client learns all of it at once."""

    def __init__(self) -> None:
        self._found: list[dict[str, object]] = []

    def add(self, field: str, kind: str, why: str) -> None:
        self._found.append({"loc": [field], "msg": why, "type": kind})

    def beyond(self, field: str, value: float, configured: float, of_host: float = 0) -> None:
        """Refuse a value above the configured maximum or, where that is 0, above the host's. More
        than the host has is never given."""
        limits = [limit for limit in (configured, of_host) if limit]
        if limits and value > min(limits):
            self.add(field, "beyond_maximum", f"at most {min(limits):g} is allowed")

    def raise_any(self) -> None:
        if self._found:
            raise BadFields(f"{len(self._found)} of the values are refused", errors=self._found)
