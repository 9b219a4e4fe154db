"""`hostile`: one tenant does all that could stop the gateway for others, while another works."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gateway import PrivateGateway, private_gateway
from benchmarks.rounds import percentile

from . import good_tenant, watching
from .attacks import from_inside, requests_that_cost, store, unread
from .caller import Caller
from .good_tenant import Record
from .judgement import Figure
from .processes import pipe, running

RESULT_S = 120.0
"""How long the good tenant's last requests may take."""

MIB = 1024 * 1024

ATTACKS: Sequence[Callable[[Caller], None]] = (
    requests_that_cost.unread_bodies,
    requests_that_cost.malformed_requests,
    requests_that_cost.wrong_names,
    requests_that_cost.readiness_loops,
    requests_that_cost.list_loops,
    unread.unread_answers,
    unread.unread_pages,
    unread.unread_socket,
    unread.queued_messages,
    unread.inputs_that_nobody_reads,
    store.changing_labels,
    store.once_rows,
    store.event_loops,
    store.event_followers,
    store.huge_creates,
    store.create_and_delete,
    from_inside.all_of_it,
    from_inside.bombs,
    from_inside.agent_in_its_place,
)


@dataclass(frozen=True)
class _Phase:
    """What was seen in one of the two: alone, and beside the attacks."""

    record: Record
    probes: list[tuple[float, int]]


def run(
    root: Path, alone_s: float, duration_s: float, only: Sequence[str], say: Callable[[str], None]
) -> list[Figure]:
    """Measure the good tenant alone and beside the attacks whose names are in `only`, or all.

    Raises BenchmarkFailed when the gateway does not start.
    """
    keys = {name: f"sgk_{secrets.token_urlsafe(32)}" for name in ("good", "hostile")}
    with ExitStack() as held:
        inline = ",".join(f"{name}:{key}" for name, key in keys.items())
        gateway = held.enter_context(
            private_gateway(root, workers=2, settings={"SANDBOX_API_KEYS": inline})
        )
        good, hostile = (Caller(gateway.url, keys[name]) for name in ("good", "hostile"))
        watch = held.enter_context(watching.Watch(gateway.pid, gateway.data_dir))
        say(f"the good tenant alone, {alone_s:.0f} s")
        alone = _observed(good, alone_s)
        grown_from = watching.store_size(gateway.data_dir)
        workers = set(watch.pss)
        chosen = [attack for attack in ATTACKS if not only or attack.__name__ in only]
        for attack in chosen:
            held.enter_context(running(attack, hostile, idle=True))
        say(f"beside {len(chosen)} attacks, {duration_s:.0f} s: {_names(chosen)}")
        beside = _observed(good, duration_s)
        grown_by = watching.store_size(gateway.data_dir) - grown_from
        _tell(alone, beside, watch, gateway, say)
        return _figures(alone, beside, watch, grown_by, len(set(watch.pss) - workers))


def _observed(caller: Caller, duration_s: float) -> _Phase:
    ours, theirs = pipe()
    probed, probing = pipe()
    with (
        running(good_tenant.work, caller, duration_s, theirs),
        running(watching.probe, caller.url, duration_s, probing),
    ):
        record = _received(ours, duration_s + RESULT_S)
        probes = _received(probed, RESULT_S)
    return _Phase(
        record or Record(errors=["the good tenant did not come to its end"]), probes or []
    )


def _received(results: Any, within_s: float) -> Any:
    return results.recv() if results.poll(within_s) else None


def _figures(
    alone: _Phase, beside: _Phase, watch: watching.Watch, grown_by: int, replaced: int
) -> list[Figure]:
    commands = [phase.record.durations_s.get("command", []) for phase in (alone, beside)]
    ratio = percentile(commands[1], 99) / percentile(commands[0], 99) if all(commands) else None
    slowest_s = max((seconds for seconds, _status in beside.probes), default=None)
    unanswered = sum(status != 200 for _seconds, status in beside.probes)
    heaviest = max((max(samples) for samples in watch.pss.values()), default=None)
    return [
        Figure("errors of the good tenant", len(beside.record.errors), 0),
        Figure("p99 of its commands, beside / alone", ratio, 3),
        Figure("memory of the largest worker", heaviest and heaviest / MIB, 300, "MiB"),
        Figure("workers that were replaced", replaced, 0),
        Figure("growth of the store", grown_by / MIB, 50, "MiB"),
        Figure("slowest answer of /healthz", slowest_s and slowest_s * 1000, 250, "ms"),
        Figure("/healthz not answered with 200", unanswered, 0),
    ]


def _tell(
    alone: _Phase,
    beside: _Phase,
    watch: watching.Watch,
    gateway: PrivateGateway,
    say: Callable[[str], None],
) -> None:
    for kind in ("command", "create", "delete"):
        for name, phase in (("alone", alone), ("beside", beside)):
            samples = phase.record.durations_s.get(kind, [])
            if samples:
                p50, p99 = median(samples) * 1000, percentile(samples, 99) * 1000
                say(f"{kind} {name}: {len(samples)}, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    for name, phase in (("alone", alone), ("beside", beside)):
        probes = [seconds for seconds, _status in phase.probes]
        if probes:
            p50, p99 = median(probes) * 1000, percentile(probes, 99) * 1000
            say(f"/healthz {name}: {len(probes)}, p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    for pid, samples in watch.pss.items():
        first, last, most = samples[0] >> 20, samples[-1] >> 20, max(samples) >> 20
        say(f"worker {pid}: {first} MiB at first, {most} at most, {last} at last")
    for error in beside.record.errors[:10]:
        say(f"error: {error}")
    say(f"the gateway's log has {gateway.log.stat().st_size / MIB:.2f} MiB")


def _names(attacks: Sequence[Callable[[Caller], None]]) -> str:
    return ", ".join(attack.__name__ for attack in attacks)
