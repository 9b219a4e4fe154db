"""From wishes to a spec: defaults, policy, and every refusal by name."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gateway.engine.interface import EngineHost, Limits
from gateway.errors import BadFields, IsolationUnavailable
from gateway.sandboxes.spec.policy import Policy
from gateway.sandboxes.spec.sandbox_spec import SandboxSpec
from gateway.sandboxes.spec.spec_resolver import SpecResolver
from gateway.schemas.models import SandboxChange, SandboxCreate

HOST = EngineHost(memory_bytes=2000 << 20, cpus=2, runtimes=frozenset({"runc"}))
POLICY = Policy(
    images=("first", "second"),
    isolation="standard",
    has_network=True,
    may_have_root=False,
    limits=Limits(memory_mb=512, cpus=1.0, pids=100, file_size_mb=10),
    max_cpus=0,
    max_memory_mb=0,
    max_pids=200,
    max_disk_mb=1000,
    timeout_s=None,
    max_timeout_s=1000,
    idle_timeout_s=60,
    max_idle_timeout_s=600,
)


def _spec(policy: Policy = POLICY, **wanted: Any) -> SandboxSpec:
    return SpecResolver(policy, lambda: HOST).resolve(SandboxCreate.model_validate(wanted))


def _refused(policy: Policy = POLICY, **wanted: Any) -> set[str]:
    with pytest.raises(BadFields) as refused:
        _spec(policy, **wanted)
    errors = refused.value.members["errors"]
    assert isinstance(errors, list)
    return {error["loc"][0] for error in errors}


def test_an_empty_wish_is_the_operators_default() -> None:
    spec = _spec()
    assert spec.image == "first"
    assert spec.limits == POLICY.limits
    assert (spec.isolation, spec.network) == ("standard", "bridge")
    assert (spec.timeout_s, spec.idle_timeout_s, spec.idle_action) == (None, 60, "delete")


@pytest.mark.parametrize("word", ["code-interpreter", "sandbox-code-interpreter"])
def test_a_template_of_the_gateways_own_is_asked_for_by_its_name(word: str) -> None:
    """Or by that of its image, which is what sandboxes show, and what pools are made by."""
    policy = replace(POLICY, templates={"code-interpreter": "sandbox-code-interpreter"})
    assert _spec(policy, image=word).image == "sandbox-code-interpreter"
    assert _refused(image=word) == {"image"}, "where the operator names no templates"


def test_wishes_within_bounds_are_taken_as_they_are() -> None:
    """To the last unit: what is exactly the maximum is allowed."""
    spec = _spec(memory_mb=2000, cpus=2, pids=200, timeout=1000, idle_timeout=600)
    assert spec.limits == Limits(2000, 2.0, 200, 10)
    assert (spec.timeout_s, spec.idle_timeout_s) == (1000, 600)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("memory_mb", 2001),
        ("cpus", 2.01),
        ("pids", 201),
        ("disk_mb", 1001),
        ("timeout", 1001),
        ("idle_timeout", 601),
        ("image", "third"),
    ],
)
def test_one_beyond_is_refused(field: str, value: object) -> None:
    assert _refused(**{field: value}) == {field}


def test_root_is_the_operators_to_allow() -> None:
    """It is user 0 of the host's kernel: never by a client's wish alone, and never by default."""
    assert _refused(root=True) == {"root"}
    allowing = replace(POLICY, may_have_root=True)
    assert _spec(allowing, root=True).root
    assert not _spec(allowing).root
    assert not _spec(root=False).root


def test_the_operators_maximum_is_never_above_the_hosts() -> None:
    """A gateway moved to a smaller machine gives no more than that has."""
    large = replace(POLICY, max_memory_mb=100_000, max_cpus=64)
    assert _refused(large, memory_mb=2001, cpus=3) == {"memory_mb", "cpus"}
    small = replace(POLICY, max_memory_mb=600, max_cpus=1)
    assert _refused(small, memory_mb=601, cpus=1.5) == {"memory_mb", "cpus"}


def test_strict_has_no_network_however_it_comes_about() -> None:
    """By the client's wish or by the operator's default."""
    assert _spec(isolation="strict").network == "none"
    with pytest.raises(ValueError, match="no network"):
        SandboxCreate.model_validate({"isolation": "strict", "network": "bridge"})
    strict = replace(POLICY, isolation="strict")
    assert _spec(strict).network == "none"
    assert _refused(strict, network="bridge") == {"network"}
    assert _spec(strict, isolation="standard", network="bridge").network == "bridge"


def test_a_gateway_without_a_network_gives_none() -> None:
    without = replace(POLICY, has_network=False)
    assert _spec(without).network == "none"
    assert _refused(without, network="bridge") == {"network"}


def test_a_level_that_the_host_lacks_is_refused() -> None:
    """And no weaker one taken in its place."""
    with pytest.raises(IsolationUnavailable):
        _spec(isolation="gvisor")


def test_the_disk_of_a_strict_one_is_memory() -> None:
    """It may take half of that, and more is refused and not cut in silence."""
    assert _spec(disk_mb=1000).limits.disk_mb == 1000
    assert _spec(isolation="strict", disk_mb=256).limits.disk_mb == 256
    assert _refused(isolation="strict", disk_mb=257) == {"disk_mb"}


def test_changes_have_the_same_bounds() -> None:
    resolver = SpecResolver(POLICY, lambda: HOST)
    resolver.check_change(SandboxChange(timeout=1000, idle_timeout=600))
    resolver.check_change(SandboxChange(timeout=None))
    for change in (SandboxChange(timeout=1001), SandboxChange(idle_timeout=601)):
        with pytest.raises(BadFields):
            resolver.check_change(change)


def test_the_host_is_not_asked_each_time() -> None:
    """It is a call to the engine, and creates come by the dozen."""
    asked = []
    resolver = SpecResolver(POLICY, lambda: asked.append(1) or HOST)
    for _ in range(5):
        resolver.resolve(SandboxCreate.model_validate({"memory_mb": 100}))
    assert len(asked) == 1
