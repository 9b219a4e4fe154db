"""Templates on E2B's control plane: found by name, and listed."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from flask import Blueprint, Response

from gateway.api.e2b.control_answers import ENVD_VERSION, time_of, written
from gateway.api.e2b.template_words import BASE, TemplateWords
from gateway.middleware import authentication


class TemplateView(Protocol):
    """A template of the operator's."""

    @property
    def name(self) -> str: ...

    @property
    def created_at(self) -> float: ...


@dataclass(frozen=True)
class Templates:
    """`those` are the operator's; the sizes are those that a sandbox has by itself."""

    those: Callable[[], Sequence[TemplateView]]
    cpus: float
    memory_mb: int
    disk_mb: int


def blueprint(words: TemplateWords, templates: Templates) -> Blueprint:
    """The routes of templates."""
    routes = Blueprint("e2b_templates", __name__, url_prefix="/e2b/control")

    @routes.get("/templates/aliases/<path:alias>")
    def exists(alias: str) -> Response:
        meaning = words.meaning(alias, authentication.caller().name)
        return written({"templateID": alias, "public": meaning.snapshot is None})

    @routes.get("/templates")
    @routes.get("/v2/templates")
    def show_all() -> Response:
        named = [BASE, *words.known_as, *words.images]
        found = [_written(name, 0.0, templates) for name in dict.fromkeys(named)]
        found += [_written(one.name, one.created_at, templates) for one in templates.those()]
        return written(found)

    return routes


def _written(name: str, at: float, sizes: Templates) -> dict[str, Any]:
    return {
        "templateID": name,
        "buildID": name,
        "cpuCount": max(1, math.ceil(sizes.cpus)),
        "memoryMB": sizes.memory_mb,
        "diskSizeMB": sizes.disk_mb,
        "public": True,
        "aliases": [name],
        "names": [name],
        "createdAt": time_of(at),
        "updatedAt": time_of(at),
        "createdBy": None,
        "lastSpawnedAt": None,
        "spawnCount": 0,
        "buildCount": 1,
        "envdVersion": ENVD_VERSION,
        "buildStatus": "ready",
    }
