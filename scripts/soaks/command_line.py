"""Arguments of `scripts/soak hostile`, `growth` and `applications`, and the exit status."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.client import BenchmarkFailed
from docker.errors import DockerException

import engine_api

from . import growth, hostile
from .applications import run as applications
from .judgement import Figure, table

ROOT = Path(__file__).resolve().parents[2]

FAILED = 1
MISSED = 3


def main(arguments: Sequence[str]) -> int:
    """0 when all figures are what they must be, 3 when one is not, 1 when nothing could be
    measured, 2 for wrong arguments."""
    chosen = _parser().parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: sys.exit(128 + received))
    os.environ.setdefault("DOCKER_HOST", engine_api.engine_address())
    try:
        figures = _measured(chosen)
    except (BenchmarkFailed, DockerException) as error:
        print(f"soak: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    print(table(figures))
    return 0 if all(figure.passed for figure in figures) else MISSED


def _measured(chosen: argparse.Namespace) -> list[Figure]:
    if chosen.soak == "hostile":
        return hostile.run(ROOT, chosen.alone, chosen.minutes * 60, chosen.only, _say)
    if chosen.soak == "applications":
        return applications.run(ROOT, chosen.seconds, chosen.packages, _say)
    return growth.run(ROOT, chosen.sandboxes, chosen.commands, _say)


def _say(line: str) -> None:
    print(f"soak: {line}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/soak")
    subcommands = parser.add_subparsers(dest="soak", required=True, metavar="SOAK")
    attacked = subcommands.add_parser("hostile", help="one tenant attacks while another works")
    attacked.add_argument("--minutes", type=float, default=10, help="of attacks (default: 10)")
    attacked.add_argument("--alone", type=float, default=60, help="seconds before (default: 60)")
    attacked.add_argument(
        "--only",
        action="append",
        default=[],
        choices=[attack.__name__ for attack in hostile.ATTACKS],
        help="this attack, and others that are named likewise",
    )
    grown = subcommands.add_parser("growth", help="memory of a worker after many commands")
    grown.add_argument("--sandboxes", type=int, default=3000)
    grown.add_argument("--commands", type=int, default=500_000, help="in all of them together")
    used = subcommands.add_parser("applications", help="Jupyter, Vite and Flask through ports")
    used.add_argument("--seconds", type=float, default=60, help="of a stream (default: 60)")
    used.add_argument("--packages", type=Path, help="a directory to keep what was fetched in")
    return parser
