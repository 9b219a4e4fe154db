"""Arguments, subcommands, exit status."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.errors import DockerException

import engine_api

from . import (
    command_latency,
    contexts,
    create_latency,
    crowd,
    e2b,
    files,
    listing,
    machine,
    neighbours,
    port_latency,
    report,
    session_latency,
    snapshots,
    stream_throughput,
    tails,
    undo,
)
from .client import BenchmarkFailed
from .gateway import Gateways, private_gateway
from .rounds import Series
from .targets import Target, judge

ROOT = Path(__file__).resolve().parents[2]

FAILED = 1
MISSED = 3


@dataclass(frozen=True)
class Benchmark:
    """A subcommand. `run` gets the gateways, the number of rounds, the samples per round and
    subject, and what to call with a line of progress."""

    summary: str
    run: Callable[[Gateways, int, int, Callable[[str], None]], dict[str, Series]]
    targets: Sequence[Target]
    rounds: int
    samples: int
    quick_rounds: int
    quick_samples: int
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of the private gateway, whole names of variables."""


BENCHMARKS = {
    "exec": Benchmark(
        "round trip of a command that does nothing: WebSocket, docker exec, the kernel's floor",
        command_latency.run,
        command_latency.TARGETS,
        rounds=20,
        samples=50,
        quick_rounds=5,
        quick_samples=20,
    ),
    "contexts": Benchmark(
        "1+1 in a warm code context, and a new one with pandas (builds on the template's image)",
        contexts.run,
        contexts.TARGETS,
        rounds=5,
        samples=50,
        quick_rounds=2,
        quick_samples=20,
        settings=contexts.SETTINGS,
    ),
    "create": Benchmark(
        "a new sandbox and its first command: from the pool, made cold, by the engine alone",
        create_latency.run,
        create_latency.TARGETS,
        rounds=5,
        samples=10,
        quick_rounds=2,
        quick_samples=6,
    ),
    "crowd": Benchmark(
        "REST and commands beside 5,000 idle and 100 active clients (use --workers 1)",
        crowd.run,
        crowd.TARGETS,
        rounds=5,
        samples=50,
        quick_rounds=2,
        quick_samples=20,
    ),
    "e2b": Benchmark(
        "E2B's SDK for Python: a command against REST, creates, code (builds on the template)",
        e2b.run,
        e2b.TARGETS,
        rounds=5,
        samples=50,
        quick_rounds=2,
        quick_samples=20,
        settings=e2b.SETTINGS,
    ),
    "files": Benchmark(
        "1 KB read and written against a command, 250 MB against docker cp",
        files.run,
        files.TARGETS,
        rounds=5,
        samples=50,
        quick_rounds=3,
        quick_samples=20,
    ),
    "listing": Benchmark(
        "a directory of 100,000 entries, and a command while it is listed",
        listing.run,
        listing.TARGETS,
        rounds=5,
        samples=200,
        quick_rounds=3,
        quick_samples=100,
    ),
    "neighbours": Benchmark(
        "a command in one sandbox while every bomb goes off in another",
        neighbours.run,
        neighbours.TARGETS,
        rounds=5,
        samples=300,
        quick_rounds=2,
        quick_samples=200,
    ),
    "ports": Benchmark(
        "a server in a sandbox through the gateway, against a connection of one's own",
        port_latency.run,
        port_latency.TARGETS,
        rounds=10,
        samples=50,
        quick_rounds=3,
        quick_samples=20,
    ),
    "session": Benchmark(
        "a command in a warm session against a plain one",
        session_latency.run,
        session_latency.TARGETS,
        rounds=20,
        samples=50,
        quick_rounds=5,
        quick_samples=20,
    ),
    "snapshots": Benchmark(
        "snapshots, forks and going back, of 10 files and of 339 MB, against docker commit",
        snapshots.run,
        snapshots.TARGETS,
        rounds=5,
        samples=2,
        quick_rounds=2,
        quick_samples=2,
    ),
    "undo": Benchmark(
        "what a checkpoint and the list of changes add to a command, and going back",
        undo.run,
        undo.TARGETS,
        rounds=5,
        samples=5,
        quick_rounds=2,
        quick_samples=3,
    ),
    "stream": Benchmark(
        "a streamed output of 1 GB against docker exec; a sample is 20 MB of it",
        stream_throughput.run,
        stream_throughput.TARGETS,
        rounds=5,
        samples=50,
        quick_rounds=3,
        quick_samples=10,
    ),
    "tails": Benchmark(
        "16 clients of one sandbox at once, by the period in which its CPU quota is enforced",
        tails.run,
        tails.TARGETS,
        rounds=5,
        samples=800,
        quick_rounds=2,
        quick_samples=320,
    ),
}


def main() -> int:
    """Run the benchmark that the arguments name; the process's exit status.

    0 when it was measured (with --check: and keeps its targets), 3 when --check was given and a
    target is missed, 1 when it could not be measured, 2 for wrong arguments.
    """
    arguments = _parser().parse_args()
    # An end by `kill` or by a closed terminal cleans up as well.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    os.environ.setdefault("DOCKER_HOST", engine_api.engine_address())
    try:
        return _measure(arguments)
    except (BenchmarkFailed, DockerException) as error:
        print(f"bench: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def _measure(arguments: argparse.Namespace) -> int:
    benchmark = BENCHMARKS[arguments.benchmark]
    rounds = arguments.rounds or (benchmark.quick_rounds if arguments.quick else benchmark.rounds)
    samples = arguments.samples or (
        benchmark.quick_samples if arguments.quick else benchmark.samples
    )
    # Before it starts: afterwards the load is the benchmark's own.
    described = machine.describe()
    with _gateways(arguments) as gateways:
        series = benchmark.run(gateways, rounds, samples, _say)
    verdicts = judge(benchmark.targets, series)
    settings = {
        "rounds": rounds,
        "samples": samples,
        "against": arguments.against,
        "workers": None if arguments.against else arguments.workers,
    }
    outcome = report.Outcome(arguments.benchmark, settings, described, series, verdicts)
    print(report.as_json(outcome) if arguments.json else report.as_text(outcome))
    missed = any(verdict.passed is False for verdict in verdicts)
    return MISSED if missed and arguments.check else 0


@contextmanager
def _gateways(arguments: argparse.Namespace) -> Iterator[Gateways]:
    """What the arguments ask for; private gateways end with the block."""
    with ExitStack() as held:
        measured, baseline = arguments.against, None
        settings = BENCHMARKS[arguments.benchmark].settings
        if measured is None:
            measured = held.enter_context(private_gateway(ROOT, arguments.workers, settings)).url
        if arguments.baseline is not None:
            clone = arguments.baseline.resolve()
            baseline = held.enter_context(private_gateway(clone, arguments.workers, settings)).url
        yield Gateways(measured, baseline)


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures the gateway against what it could be on this machine, now. Starts a "
        "gateway of its own on a free port and removes everything afterwards.",
    )
    subcommands = parser.add_subparsers(dest="benchmark", required=True, metavar="BENCHMARK")
    for name, benchmark in BENCHMARKS.items():
        _add_options(subcommands.add_parser(name, help=benchmark.summary), benchmark)
    return parser


def _add_options(parser: Any, benchmark: Benchmark) -> None:
    quick = f"{benchmark.quick_rounds} rounds of {benchmark.quick_samples} samples"
    parser.add_argument("--json", action="store_true", help="print one JSON object, no table")
    parser.add_argument("--quick", action="store_true", help=f"{quick}, for a first look")
    parser.add_argument(
        "--check", action="store_true", help=f"exit with {MISSED} when a target is missed"
    )
    parser.add_argument(
        "--rounds", type=_positive, help=f"number of rounds (default: {benchmark.rounds})"
    )
    parser.add_argument(
        "--samples", type=_positive, help=f"samples per round (default: {benchmark.samples})"
    )
    parser.add_argument(
        "--workers", type=int, choices=(1, 2), default=2, help="of the private gateway (default: 2)"
    )
    parser.add_argument(
        "--against", metavar="URL", type=_url, help="measure a gateway that runs already"
    )
    parser.add_argument(
        "--baseline",
        metavar="CLONE",
        type=Path,
        help="measure the code in another folder too, in the same rounds, and compare",
    )


def _url(text: str) -> str:
    if not text.startswith(("http://", "https://")):
        raise argparse.ArgumentTypeError(f"must begin with http:// or https://, not {text!r}")
    return text.rstrip("/")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be positive, not {number}")
    return number
