"""What schemathesis cannot know of this API; it loads this module by `SCHEMATHESIS_HOOKS`."""

from __future__ import annotations

import io
import tarfile
from typing import Any

import schemathesis

PASSED_ON = "/ports/{port}/"
"""Below it, what is not the gateway's own is asked of a server in the sandbox."""


@schemathesis.serializer("application/x-tar")
def archive(_context: Any, value: Any) -> bytes:
    """An archive with a member of that content; each third is left as it came, and is none."""
    content = value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
    if len(content) % 3 == 0:
        return content
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        member = tarfile.TarInfo("fuzzed")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


@schemathesis.hook
def filter_case(_context: Any, case: Any) -> bool:
    """Any method that the gateway does not have itself is passed on, and what answers is not the
    gateway: nothing listens there, which is a 502 by right."""
    return PASSED_ON not in case.operation.path or case.method == case.operation.method.upper()
