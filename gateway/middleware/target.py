"""Which sandbox a request is for: an id, or a name that the caller has given to one.

Decided once, after the caller is known and before any route: what is behind sees ids only. No
route looks at that again. The engine's SDK, for one, puts ids into addresses unescaped: with
`../networks/bridge` it would reach another object of the engine's API.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway.errors import SandboxNotFound
from gateway.identity.caller import Caller
from gateway.schemas.models import ID_OR_NAME_PATTERN, LOOKS_LIKE_AN_ID, SANDBOX_ID_PATTERN

FindByName = Callable[[str, str], "str | None"]
"""The id of an owner's live sandbox that has a name; None where there is none. Raises
StoreUnavailable."""

LONGEST_ECHO = 64
"""Characters of an impossible id that its error repeats."""

_SANDBOX_ID = re.compile(SANDBOX_ID_PATTERN)
_ID_OR_NAME = re.compile(ID_OR_NAME_PATTERN)


def sandbox_id_of(given: str, caller: Caller, find: FindByName) -> str:
    """The id that is meant by what stands in an address. Ids cost no look into the store.

    Names are looked for among the caller's own; whoever holds the token of one sandbox can say the
    name of that one only, and learns of no other. Raises SandboxNotFound for what can be neither.
    """
    if LOOKS_LIKE_AN_ID.fullmatch(given):
        return given
    if _ID_OR_NAME.fullmatch(given):
        found = find(caller.name, given)
        if found is not None and caller.sandbox_id in (None, found):
            return found
    if not _SANDBOX_ID.fullmatch(given):
        raise SandboxNotFound(given[:LONGEST_ECHO])
    return given
