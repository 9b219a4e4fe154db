"""Images of containers: `docker commit`.

What is lost on the way: extended attributes of users, sockets, names that begin with `.wh.`, and
holes, which are written out as zeros. So it is asked before how much that would be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import docker
from docker import errors as docker_errors

from gateway.engine.docker.error_translation import of_container, translated
from gateway.errors import ImageMissing


def apparent_bytes(api: docker.APIClient, container_id: str) -> int:
    """What a container has written, holes included."""
    untyped: Any = api
    with of_container(container_id):
        # The SDK's own method does not know `size`. The engine sums lengths, file by file.
        url = untyped._url("/containers/{0}/json", container_id)
        found = untyped._result(untyped._get(url, params={"size": 1}), json=True)
    return int(found.get("SizeRw") or 0)


def commit(api: docker.APIClient, container_id: str, image: str, labels: Mapping[str, str]) -> str:
    """The id of the image that is made. What its container was given as environment is nobody
    else's: the engine would add it to the image, and can only be told other values."""
    repository, _, tag = image.rpartition(":")
    with of_container(container_id):
        found = api.inspect_container(container_id)
    with translated():
        try:
            usual = api.inspect_image(found["Image"])["Config"].get("Env") or []
        except docker_errors.ImageNotFound:
            usual = []
    names = {entry.partition("=")[0] for entry in found["Config"].get("Env") or []}
    names -= {entry.partition("=")[0] for entry in usual}
    conf = {"Labels": dict(labels), "Env": [*usual, *(f"{name}=" for name in sorted(names))]}
    with of_container(container_id):
        made: dict[str, str] = api.commit(container_id, repository=repository, tag=tag, conf=conf)
    return made["Id"]


def remove_image(api: docker.APIClient, image: str) -> None:
    """One that is not there is a success."""
    with translated():
        try:
            api.remove_image(image)
        except docker_errors.ImageNotFound:
            return


def untag_image(api: docker.APIClient, image: str) -> None:
    """One that is not there is a success. With `force` the engine takes the name away also where a
    container needs the image, which then stays without one (moby, `ImageDelete`)."""
    with translated():
        try:
            api.remove_image(image, force=True)
        except docker_errors.ImageNotFound:
            return


def name_image(api: docker.APIClient, image_id: str, name: str) -> None:
    """One more name."""
    repository, _, tag = name.rpartition(":")
    with translated():
        try:
            api.tag(image_id, repository, tag)
        except docker_errors.ImageNotFound as error:
            raise ImageMissing(image_id) from error


def names_in(api: docker.APIClient, repository: str) -> dict[str, str]:
    """Ids by name."""
    with translated():
        found = api.images(name=repository)
    return {
        name: entry["Id"]
        for entry in found
        for name in entry.get("RepoTags") or ()
        if name.startswith(f"{repository}:")
    }
