"""Images without python3, made from the sandbox image: no registry is asked."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager

import docker

DOCKERFILE = """
FROM {base}
USER root
RUN {commands}
USER user
"""

WITHOUT = {
    "python3": "rm -f /usr/bin/python3* /usr/local/bin/python* /usr/bin/python",
    "python3 and bash": "rm -f /usr/bin/python3* /usr/local/bin/python* /usr/bin/python "
    "&& rm -f /bin/bash /usr/bin/bash /bin/rbash",
}


@contextmanager
def image_without(what: str) -> Iterator[str]:
    """The tag of a sandbox image that lacks one of WITHOUT; gone when the block is left."""
    base = os.environ.get("SANDBOX_IMAGE", "sandbox-websocket-image")
    tag = f"sandbox-gateway-test-{os.getpid()}:without-{what.replace(' ', '-')}"
    dockerfile = DOCKERFILE.format(base=base, commands=WITHOUT[what])
    api = docker.APIClient(version="auto", timeout=120)
    try:
        for line in api.build(
            fileobj=io.BytesIO(dockerfile.encode()), tag=tag, rm=True, forcerm=True, decode=True
        ):
            assert "error" not in line, line
        yield tag
        api.remove_image(tag, force=True)
    finally:
        api.close()
