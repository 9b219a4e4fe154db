"""A name of an image that can be given to another one, as `docker build` and `docker pull` do."""

from __future__ import annotations

import io
import os
import secrets

import docker
from docker.errors import ImageNotFound

DOCKERFILE = "FROM {base}\nENV GENERATION={generation}\nLABEL sandbox-test={name}\n"


class ImageTag:
    """`point_to` makes the name stand for a new image; `GENERATION` inside tells which."""

    def __init__(self) -> None:
        self.name = f"sandbox-gateway-test-{os.getpid()}:{secrets.token_hex(4)}"
        self._api = docker.APIClient(version="auto", timeout=120)
        self._made: list[str] = []

    def point_to(self, generation: int) -> str:
        """The new image's id."""
        base = os.environ.get("SANDBOX_IMAGE", "sandbox-websocket-image")
        dockerfile = DOCKERFILE.format(base=base, generation=generation, name=self.name)
        for line in self._api.build(
            fileobj=io.BytesIO(dockerfile.encode()),
            tag=self.name,
            rm=True,
            forcerm=True,
            decode=True,
        ):
            assert "error" not in line, line
        self._made.append(self._api.inspect_image(self.name)["Id"])
        return self._made[-1]

    def close(self) -> None:
        """Remove what was made. To be called when no container is made from it any more."""
        for image in reversed(self._made):
            try:
                self._api.remove_image(image, force=True)
            except ImageNotFound:
                continue  # it went with what needed it last
        self._made = []
        self._api.close()
