"""How safe the host is: what it enforces of the isolation of sandboxes, and what it does not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import gevent

from gateway.engine.facts import EngineFacts
from gateway.engine.interface import Engine
from gateway.errors import GatewayError, SettingsError
from gateway.health.known_cves import is_of_a_distribution, known_cves_in, parsed
from gateway.schemas.models import PostureCheck

log = logging.getLogger(__name__)

LIMIT_S = 5.0
"""What takes longer to find out is unknown."""

Asked = Callable[[], PostureCheck]
"""Looks at one thing. May raise a GatewayError: then it is unknown."""

_OF_ENGINE = ("engine", "containerd", "runc", "seccomp", "lsm", "userns", "cgroups", "limits")


class Posture:
    """Looks at the host anew at every call.

    `required` are names of checks without which the gateway does not serve. `further` are checks
    that others make, by name: `disk`, `network`.
    """

    def __init__(
        self, engine: Engine, required: frozenset[str], further: Mapping[str, Asked]
    ) -> None:
        self._engine = engine
        self._required = required
        self._further = dict(further)

    def checks(self) -> dict[str, PostureCheck]:
        """Every check by its name; all are made at the same time."""
        of_engine = gevent.spawn(self._look_at_engine)
        further = {name: gevent.spawn(_look, ask) for name, ask in self._further.items()}
        gevent.joinall([of_engine, *further.values()])
        found: dict[str, PostureCheck] = of_engine.get()
        return found | {name: greenlet.get() for name, greenlet in further.items()}

    def _look_at_engine(self) -> dict[str, PostureCheck]:
        facts: list[EngineFacts] = []

        def ask() -> PostureCheck:
            facts.append(self._engine.facts())
            return PostureCheck(ok=True, level="ok", detail="")

        failure = _look(ask)
        return of_engine(facts[0]) if facts else dict.fromkeys(_OF_ENGINE, failure)

    def unmet(self, checks: Mapping[str, PostureCheck]) -> dict[str, str]:
        """Of what is required: what these checks do not show, with why."""
        return {
            name: checks[name].detail if name in checks else "this gateway has no such check"
            for name in sorted(self._required)
            if name not in checks or not checks[name].ok
        }

    def demand(self) -> None:
        """Raises SettingsError, in one line, unless all that is required is shown."""
        unmet = self.unmet(self.checks()) if self._required else {}
        if unmet:
            raise SettingsError(
                "SANDBOX_REQUIRE is not met: "
                + "; ".join(f"{name} ({detail})" for name, detail in unmet.items())
            )

    def report(self) -> None:
        """Log every check: what the host does not enforce as a warning."""
        for name, check in self.checks().items():
            level = logging.WARNING if check.level == "warning" else logging.INFO
            log.log(level, "posture: %s: %s", name, check.detail)


def asked(check: Callable[[], tuple[bool, str]]) -> Asked:
    """A check that says whether something holds, and why, in the form that Posture takes."""

    def ask() -> PostureCheck:
        holds, detail = check()
        return PostureCheck(ok=holds, level="ok" if holds else "warning", detail=detail)

    return ask


def _look(ask: Asked) -> PostureCheck:
    try:
        with gevent.Timeout(LIMIT_S, TimeoutError(f"no answer within {LIMIT_S:g} s")):
            return ask()
    except (GatewayError, TimeoutError) as error:
        return PostureCheck(ok=False, level="warning", detail=f"unknown: {error}")


def of_engine(facts: EngineFacts) -> dict[str, PostureCheck]:
    """What the engine's words mean for the sandboxes."""
    found = {name: _version(name, facts.versions.get(name)) for name in _OF_ENGINE[:3]}
    found["seccomp"] = _either(
        "seccomp" in facts.security_options,
        "The gateway's own allow-list of system calls is applied.",
        "This host filters no system calls: a sandbox reaches the whole of the kernel.",
    )
    lsm = facts.security_options & {"apparmor", "selinux"}
    found["lsm"] = _either(
        bool(lsm),
        f"Mandatory access control: {', '.join(sorted(lsm))}.",
        "No AppArmor and no SELinux: nothing stands behind capabilities, namespaces and seccomp.",
    )
    found["userns"] = _either(
        bool(facts.security_options & {"userns", "rootless"}),
        "Root in a container is not root on the host.",
        "User ids in containers are those of the host: no userns-remap, not rootless.",
    )
    found["cgroups"] = (
        _ok(f"Version {facts.cgroup_version}.")
        if facts.cgroup_version != "1"
        else _notice("Version 1: limits hold, but it is not maintained any more. Version 2 is.")
    )
    found["limits"] = _either(
        not facts.missing_limits,
        "Memory, swap, CPU and processes are limited.",
        f"This host cannot limit: {', '.join(facts.missing_limits)}.",
    )
    return found


def _version(component: str, text: str | None) -> PostureCheck:
    version = parsed(text) if text else None
    if text is None or version is None:
        return _notice(
            f"The version of {component} is not known: {text or 'the engine is silent'}."
        )
    known = known_cves_in(component, version)
    if not known:
        return _ok(f"{text}: no hole is known to the gateway.")
    holes = "; ".join(f"{cve.name} ({cve.what})" for cve in known)
    if is_of_a_distribution(text):
        return _notice(f"{text} may be patched by the distribution; by its number it has {holes}.")
    return PostureCheck(ok=False, level="warning", detail=f"{text} has {holes}.")


def _either(holds: bool, good: str, bad: str) -> PostureCheck:
    return _ok(good) if holds else PostureCheck(ok=False, level="warning", detail=bad)


def _ok(detail: str) -> PostureCheck:
    return PostureCheck(ok=True, level="ok", detail=detail)


def _notice(detail: str) -> PostureCheck:
    return PostureCheck(ok=False, level="notice", detail=detail)
