"""API keys: how they are written down, and which of them somebody has shown.

Nothing but digests is kept. SHA-256 without salt and stretching is enough for keys of 128 random
bits and more: there is no dictionary of them (that is what short keys are refused for).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

from gateway.errors import SettingsError
from gateway.identity.caller import NO_LIMITS, KeyLimits

SHORTEST_KEY = 24
LONGEST_KEY = 256

KEY_PREFIX = "sgk_"
TOKEN_PREFIX = "sgt_"  # noqa: S105  (tells tokens from keys)
PORT_TOKEN_PREFIX = "sgp_"  # noqa: S105  (likewise)

E2B_KEY = re.compile(r"e2b_[0-9a-f]+")
"""What E2B's clients take for a key (2.28 to 2.45 refuse others), and so the sign of a request that
speaks their protocol."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HASHED = re.compile(r"sha256:([0-9a-fA-F]{64})")
_PLAIN = re.compile(r"[!-+\--~]+")  # visible ASCII but the comma
_LIMIT = re.compile(r"[a-z_]{1,32}")
_WHOLE = re.compile(r"[1-9][0-9]{0,8}")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")


@dataclass(frozen=True)
class ApiKey:
    """One key, by its digest. Several may have one name, so that they can be rotated."""

    name: str
    digest: bytes = field(repr=False)
    limits: KeyLimits = NO_LIMITS


class Keyring:
    """The keys that are valid. Raises SettingsError where they contradict each other."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = tuple(keys)
        self._limits: dict[str, KeyLimits] = {}
        for key in self._keys:
            if self._limits.setdefault(key.name, key.limits) != key.limits:
                raise SettingsError(f"the keys of {key.name} have different limits")
        if len({key.digest for key in self._keys}) < len(self._keys):
            raise SettingsError("the same key is there twice")

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def has_several_names(self) -> bool:
        """Whether there is more than one owner."""
        return len(self._limits) > 1

    def find(self, shown: str) -> ApiKey | None:
        """The key that somebody has shown.

        Takes the same time whichever it is: all digests are compared, each in constant time.
        """
        return self._with_digest(digest_of(shown))

    def holds(self, digest: bytes) -> bool:
        """Whether a key is still valid."""
        return self._with_digest(digest) is not None

    def _with_digest(self, digest: bytes) -> ApiKey | None:
        found = None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def limits_of(self, name: str) -> KeyLimits | None:
        """None when there is no key of that name any more."""
        return self._limits.get(name)


def digest_of(key: str) -> bytes:
    """What is kept of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def new_key() -> str:
    """A key of 256 random bits."""
    return KEY_PREFIX + secrets.token_urlsafe(32)


def new_e2b_key() -> str:
    """One of 256 random bits in the form that E2B's clients take."""
    return f"e2b_{secrets.token_hex(32)}"


def line_of(name: str, key: str) -> str:
    """How a key is written into the file. Raises SettingsError for an impossible name."""
    return f"{_checked_name(name)} sha256:{digest_of(key).hex()}"


def parse_inline(text: str) -> list[ApiKey]:
    """`name:key,name:sha256:<hex>`. Raises SettingsError, in which no key appears."""
    keys = []
    for number, entry in enumerate(text.split(","), start=1):
        if not entry.strip():
            continue
        name, colon, secret = entry.strip().partition(":")
        if not colon:
            raise SettingsError(f"entry {number} is not name:key")
        try:
            keys.append(ApiKey(_checked_name(name), _digest(secret, hashed_only=False)))
        except SettingsError as error:
            raise SettingsError(f"entry {number}: {error}") from None
    return keys


def parse_file(text: str) -> list[ApiKey]:
    """A line per key: `name sha256:<hex> [max_sandboxes=…] [max_cpus=…] [max_memory_mb=…]
    [rate=…/s]`; `#` begins a comment. Raises SettingsError, in which no key appears."""
    keys = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            if len(words) < 2:
                raise SettingsError("it takes a name and sha256:<hex>")
            digest = _digest(words[1], hashed_only=True)
            keys.append(ApiKey(_checked_name(words[0]), digest, _limits(words[2:])))
        except SettingsError as error:
            raise SettingsError(f"line {number}: {error}") from None
    return keys


def _checked_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        # It may be a key in the wrong place: not shown.
        raise SettingsError(
            "the name must be 1 to 64 letters, digits and . _ @ -, and begin with one of the first"
        )
    return name


def _digest(secret: str, *, hashed_only: bool) -> bytes:
    hashed = _HASHED.fullmatch(secret)
    if hashed is not None:
        return bytes.fromhex(hashed[1])
    if hashed_only or secret.startswith("sha256:"):
        raise SettingsError("the key must be sha256: and 64 hexadecimal digits")
    for prefix in (TOKEN_PREFIX, PORT_TOKEN_PREFIX):
        if secret.startswith(prefix):
            raise SettingsError(f"the key must not begin with {prefix}")
    if not SHORTEST_KEY <= len(secret) <= LONGEST_KEY or not _PLAIN.fullmatch(secret):
        raise SettingsError(
            f"the key must be {SHORTEST_KEY} to {LONGEST_KEY} visible ASCII characters; "
            "scripts/new_key makes one"
        )
    return digest_of(secret)


def _limits(words: Iterable[str]) -> KeyLimits:
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not _LIMIT.fullmatch(name):
            raise SettingsError("a limit is name=number")  # a key in the wrong place is not shown
        if name in found:
            raise SettingsError(f"{name} is there twice")
        found[name] = value
    limits = KeyLimits(
        max_sandboxes=_whole(found, "max_sandboxes"),
        max_cpus=_number(found, "max_cpus"),
        max_memory_mb=_whole(found, "max_memory_mb"),
        rate=_number(found, "rate", unit="/s"),
    )
    if found:
        raise SettingsError(f"there is no limit called {next(iter(found))}")
    return limits


def _whole(found: dict[str, str], name: str) -> int | None:
    value = found.pop(name, None)
    if value is not None and not _WHOLE.fullmatch(value):
        raise SettingsError(f"{name} must be a positive whole number")
    return None if value is None else int(value)


def _number(found: dict[str, str], name: str, unit: str = "") -> float | None:
    value = found.pop(name, None)
    if value is None:
        return None
    number = value.removesuffix(unit) if value.endswith(unit) else ""
    if not _NUMBER.fullmatch(number) or float(number) <= 0:
        raise SettingsError(f"{name} must be a positive number{unit and f', as 10{unit}'}")
    return float(number)
