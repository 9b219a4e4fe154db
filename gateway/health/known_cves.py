"""Holes in container engines that let a sandbox out, and the versions that close them."""

from __future__ import annotations

import re
from dataclasses import dataclass

Version = tuple[int, int, int, int]
"""Major, minor, patch, and 0 for a pre-release or 1."""

_NUMBERS = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?((?:[-~]?(?:rc|beta|alpha))?)", re.ASCII)
_DISTRIBUTIONS = re.compile(r"dfsg|[+~]ds|deb\d|ubuntu|\.el\d|\.fc\d|\.amzn|suse", re.ASCII)


@dataclass(frozen=True)
class KnownCve:
    """A hole, and the first version without it of each branch that got one."""

    component: str
    name: str
    what: str
    fixed: tuple[str, ...]


KNOWN_CVES = (
    KnownCve("runc", "CVE-2021-30465", "a race of mounts leads to the host's files", ("1.0.0",)),
    KnownCve("runc", "CVE-2023-28642", "a link in the image turns AppArmor off", ("1.1.5",)),
    KnownCve(
        "runc", "CVE-2024-21626", "a working directory in /proc/self/fd is the host's", ("1.1.12",)
    ),
    KnownCve("runc", "CVE-2024-45310", "empty files on the host through a race", ("1.1.14",)),
    KnownCve(
        "runc",
        "CVE-2025-31133, CVE-2025-52565, CVE-2025-52881",
        "races of masked paths and consoles lead to the host's /proc",
        ("1.2.8", "1.3.3", "1.4.0"),
    ),
    KnownCve(
        "containerd",
        "CVE-2022-23648",
        "an image reads the host's files",
        ("1.4.13", "1.5.10", "1.6.1"),
    ),
    KnownCve(
        "containerd", "CVE-2024-40635", "a huge user id becomes root", ("1.6.38", "1.7.27", "2.0.4")
    ),
    KnownCve(
        "containerd",
        "CVE-2024-25621",
        "directories on the host are open to its local users",
        ("1.7.29", "2.0.7", "2.1.5", "2.2.0"),
    ),
    KnownCve(
        "engine", "CVE-2022-36109", "supplementary groups are not set up right", ("20.10.18",)
    ),
    KnownCve(
        "engine",
        "CVE-2026-41567",
        "`docker cp` of an archive runs the sandbox's own unpacker as root",
        ("29.5.1",),
    ),
)


def parsed(text: str) -> Version | None:
    """The numbers of a version; None when there are none."""
    found = _NUMBERS.match(text)
    if found is None:
        return None
    major, minor, patch = int(found[1]), int(found[2]), int(found[3] or 0)
    return (major, minor, patch, 0 if found[4] else 1)


def is_of_a_distribution(text: str) -> bool:
    """Whether the version says that a distribution built it, which may have fixed holes in it
    without a new number."""
    return _DISTRIBUTIONS.search(text) is not None


def known_cves_in(component: str, version: Version) -> list[KnownCve]:
    """Those that a version has by its number."""
    return [f for f in KNOWN_CVES if f.component == component and not _is_fixed(f, version)]


def _is_fixed(cve: KnownCve, version: Version) -> bool:
    """By the fix in its own branch, else in the next higher one that has a fix."""
    fixes = sorted(found for text in cve.fixed if (found := parsed(text)) is not None)
    for fix in fixes:
        if fix[:2] >= version[:2]:
            return version >= fix
    return True
