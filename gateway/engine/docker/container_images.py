"""Images of containers: `docker commit`.

What is lost on the way: extended attributes of users, sockets, names that begin with `.wh.`, and
holes, which are written out as zeros. So it is asked before how much that would be.
"""

from __future__ import annotations

from typing import Any

import docker
from docker import errors as docker_errors

from gateway.engine.docker.error_translation import of_container, translated


def apparent_bytes(api: docker.APIClient, container_id: str) -> int:
    """What a container has written, holes included."""
    untyped: Any = api
    with of_container(container_id):
        # The SDK's own method does not know `size`. The engine sums lengths, file by file.
        url = untyped._url("/containers/{0}/json", container_id)
        found = untyped._result(untyped._get(url, params={"size": 1}), json=True)
    return int(found.get("SizeRw") or 0)


def commit(api: docker.APIClient, container_id: str, image: str) -> str:
    """The id of the image that is made."""
    repository, _, tag = image.rpartition(":")
    with of_container(container_id):
        made: dict[str, str] = api.commit(
            container_id, repository=repository, tag=tag, conf={"Labels": {}}
        )
    return made["Id"]


def remove_image(api: docker.APIClient, image: str) -> None:
    """One that is not there is a success."""
    with translated():
        try:
            api.remove_image(image)
        except docker_errors.ImageNotFound:
            return
