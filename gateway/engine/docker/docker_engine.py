"""The engine interface on Docker, by the docker SDK's low-level client."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from typing import IO, Any, cast

import docker
from docker import errors as docker_errors
from docker.utils import kwargs_from_env

from gateway.engine import container_hardening
from gateway.engine.docker import container_images, docker_exec, image_builds
from gateway.engine.docker.answers import (
    bridge_of,
    event_of,
    image_of,
    inspected,
    layers_of,
    listed,
)
from gateway.engine.docker.container_usage import usage_of
from gateway.engine.docker.error_translation import of_container, translated
from gateway.engine.facts import EngineFacts, facts_of, host_of
from gateway.engine.interface import (
    Bridge,
    BuildLimits,
    ContainerEvent,
    ContainerInfo,
    ContainerSpec,
    ContainerState,
    ContainerUsage,
    EngineHost,
    ExecRun,
    ExecStream,
    ImageInfo,
    ImageLayers,
    Isolation,
    Limits,
    Preparation,
)
from gateway.errors import (
    EngineFault,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
    ImageMissing,
)
from gateway.settings import MIB, OWN_NETWORK

log = logging.getLogger(__name__)

POOL_SIZE = 100
"""Connections kept to the engine; the SDK's own default of 10 would make creates wait."""


_MADE_WITH_CPUS = "NanoCPUs has already been set"
"""The engine's word for a container that was made with a number of CPUs, as gateways before this
one did: it keeps that way for life."""


class DockerEngine:
    """Implements `gateway.engine.interface.Engine`."""

    def __init__(self, timeout_s: int) -> None:
        self._timeout_s = timeout_s
        self._client: docker.APIClient | None = None

    @property
    def _api(self) -> docker.APIClient:
        """The client, made at the first call: asking for the API version needs the engine."""
        if self._client is None:
            with translated():
                self._client = docker.APIClient(
                    version="auto",
                    timeout=self._timeout_s,
                    max_pool_size=POOL_SIZE,
                    **kwargs_from_env(),
                )
        return self._client

    def version(self) -> str:
        with translated():
            return f"Docker Engine {self._api.version()['Version']}"

    def is_local(self) -> bool:
        return os.environ.get("DOCKER_HOST", "unix://").startswith("unix://")

    def host(self) -> EngineHost:
        with translated():
            return host_of(self._api.info())

    def facts(self) -> EngineFacts:
        with translated():
            return facts_of(self._api.info(), self._api.version())

    def has_image(self, image: str) -> bool:
        try:
            self.image_id(image)
        except ImageMissing:
            return False
        return True

    def image_id(self, image: str) -> str:
        return str(self._inspect_image(image)["Id"])

    def image_layers(self, image: str) -> ImageLayers:
        found = self._inspect_image(image)
        return ImageLayers(str(found["Id"]), layers_of(found.get("GraphDriver") or {}))

    def _inspect_image(self, image: str) -> dict[str, Any]:
        with translated():
            try:
                return cast(dict[str, Any], self._api.inspect_image(image))
            except docker_errors.ImageNotFound as error:
                raise ImageMissing(f"image {image!r} does not exist") from error

    def ensure_network(self, name: str) -> None:
        if name in ("bridge", "none"):
            return
        with translated():
            if any(network["Name"] == name for network in self._api.networks(names=[name])):
                return
            if name != OWN_NETWORK:
                raise EngineRefused(f"network {name!r} does not exist")
            try:
                self._api.create_network(
                    name, check_duplicate=True, **container_hardening.own_network()
                )
            except docker_errors.APIError as error:
                if error.status_code != 409:  # another worker was first
                    raise

    def bridge(self, name: str) -> Bridge | None:
        with translated():
            try:
                found = self._api.inspect_network(name)
            except docker_errors.NotFound:
                return None
        return bridge_of(found)

    def start_container(
        self, spec: ContainerSpec, preparation: Preparation | None = None
    ) -> ContainerInfo:
        api = self._api
        container_id = None
        try:
            with translated():
                try:
                    created = api.create_container(
                        image=spec.image,
                        name=spec.name,
                        entrypoint=["sleep", "infinity"],
                        command=[],
                        user=container_hardening.holder_of(has_root=spec.has_root),
                        labels=spec.labels,
                        environment=dict(spec.env),
                        hostname="sandbox",
                        working_dir="/",
                        host_config=api.create_host_config(
                            **container_hardening.host_config(
                                spec.limits,
                                spec.network,
                                spec.isolation,
                                spec.uid,
                                has_root=spec.has_root,
                            )
                        ),
                    )
                except docker_errors.ImageNotFound as error:
                    raise ImageMissing(f"image {spec.image!r} does not exist") from error
                container_id = created["Id"]
            if preparation is not None:
                preparation.before_start(self.inspect(container_id))
            with translated():
                api.start(container_id)
            started = self.inspect(container_id)
            if preparation is not None:
                preparation.after_start(started)
            return started
        except (EngineTimeout, EngineUnavailable):
            # It would not answer this either, and a client waits: whoever compares engine and
            # store finds what may be left.
            raise
        except BaseException:
            self._undo_start(container_id or spec.name)
            raise

    def _undo_start(self, container: str) -> None:
        """Also when the call was cut off: the name finds what the engine may have made."""
        try:
            self.remove(container)
        except EngineFault as error:
            log.warning("cannot remove %s, which did not start: %s", container, error)

    def inspect(self, container_id: str) -> ContainerInfo:
        with of_container(container_id):
            found = self._api.inspect_container(container_id)
        return inspected(found)

    def containers(self, labels: dict[str, str]) -> list[ContainerInfo]:
        with translated():
            found = self._api.containers(all=True, filters={"label": _label_filter(labels)})
        return [listed(entry) for entry in found]

    def events(self, labels: dict[str, str], since: float | None) -> Iterator[ContainerEvent]:
        filters = {"type": "container", "label": _label_filter(labels)}
        # The SDK's types know whole seconds only; the engine takes fractions.
        begin: Any = None if since is None else f"{since:.9f}"
        with translated():
            for event in self._api.events(since=begin, filters=filters, decode=True):
                yield event_of(event)

    def written(self, labels: dict[str, str]) -> dict[str, int]:
        with translated():
            found = self._api.containers(
                all=True, size=True, filters={"label": _label_filter(labels)}
            )
        return {entry["Id"]: int(entry.get("SizeRw") or 0) for entry in found}

    def update(self, container_id: str, limits: Limits, isolation: Isolation = "standard") -> None:
        period_us, quota_us = container_hardening.cpu_quota(limits.cpus)
        changes = {
            "Memory": limits.memory_mb * MIB,
            "MemorySwap": limits.memory_mb * MIB,
            "PidsLimit": container_hardening.pids_limit(limits, isolation),
        }
        with of_container(container_id):
            try:
                quota = {"CpuPeriod": period_us, "CpuQuota": quota_us}
                self._update(container_id, {**changes, **quota})
            except docker_errors.APIError as error:
                if _MADE_WITH_CPUS not in str(error.explanation):
                    raise
                self._update(container_id, {**changes, "NanoCpus": int(limits.cpus * 1e9)})

    def _update(self, container_id: str, changes: dict[str, int]) -> None:
        # The SDK's own method does not know PidsLimit.
        api: Any = self._api
        answer = api._post_json(api._url("/containers/{0}/update", container_id), data=changes)
        api._raise_for_status(answer)

    def restart(self, container_id: str, preparation: Preparation | None) -> ContainerInfo:
        with of_container(container_id):
            self._api.stop(container_id, timeout=0)
        if preparation is not None:
            preparation.before_start(self.inspect(container_id))
        with of_container(container_id):
            self._api.start(container_id)
        started = self.inspect(container_id)
        if preparation is not None:
            preparation.after_start(started)
        return started

    def rename(self, container_id: str, name: str) -> None:
        with of_container(container_id):
            self._api.rename(container_id, name)

    def pause(self, container_id: str) -> None:
        with translated():
            self._switch(container_id, self._api.pause, "paused")

    def unpause(self, container_id: str) -> None:
        with translated():
            self._switch(container_id, self._api.unpause, "running")

    def _switch(self, container_id: str, change: Any, wanted: ContainerState) -> None:
        try:
            with of_container(container_id):
                change(container_id)
        except EngineFault:
            # "Already paused" and "not paused" are a 409 or a 500, as the version has it.
            if self.inspect(container_id).state != wanted:
                raise

    def apparent_bytes(self, container_id: str) -> int:
        return container_images.apparent_bytes(self._api, container_id)

    def commit(self, container_id: str, image: str, labels: Mapping[str, str] | None = None) -> str:
        return container_images.commit(self._api, container_id, image, labels or {})

    def build(self, context: IO[bytes], image: str, limits: BuildLimits) -> Iterator[str]:
        yield from image_builds.build(self._api, context, image, limits)

    def images(self, labels: dict[str, str]) -> list[ImageInfo]:
        with translated():
            found = self._api.images(filters={"label": _label_filter(labels)})
        return [image_of(entry) for entry in found]

    def name_image(self, image_id: str, name: str) -> None:
        container_images.name_image(self._api, image_id, name)

    def names_in(self, repository: str) -> dict[str, str]:
        return container_images.names_in(self._api, repository)

    def remove_image(self, image: str) -> None:
        container_images.remove_image(self._api, image)

    def untag_image(self, image: str) -> None:
        container_images.untag_image(self._api, image)

    def usage(self, container_id: str) -> ContainerUsage:
        with of_container(container_id):
            return usage_of(self._api, container_id)

    def remove(self, container_id: str) -> None:
        with translated():
            try:
                self._api.remove_container(container_id, force=True, v=True)
            except docker_errors.NotFound:
                return
            except docker_errors.APIError as error:
                if error.status_code != 409:  # its removal is in progress already
                    raise

    def running_execs(self, container_id: str) -> int:
        return docker_exec.running_execs(self._api, container_id)

    def open_stream(self, container_id: str, argv: list[str], user: str) -> ExecStream:
        return docker_exec.open_stream(self._api, container_id, argv, user)

    def open_run(
        self,
        container_id: str,
        argv: list[str],
        user: str,
        directory: str | None,
        environment: Mapping[str, str] | None = None,
    ) -> ExecRun:
        return docker_exec.open_run(self._api, container_id, argv, user, directory, environment)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


def _label_filter(labels: dict[str, str]) -> list[str]:
    """An empty value stands for any."""
    return [f"{key}={value}" if value else key for key, value in labels.items()]
