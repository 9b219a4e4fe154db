"""The engine interface on Docker, by the docker SDK's low-level client."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import docker
import requests
from docker import errors as docker_errors
from docker.utils import kwargs_from_env
from urllib3.exceptions import HTTPError

from gateway.engine import hardening
from gateway.engine.hijack import HijackedStream
from gateway.engine.interface import (
    ContainerEvent,
    ContainerInfo,
    ContainerSpec,
    ContainerState,
    ExecOutput,
    ExecStream,
)
from gateway.errors import (
    ContainerGone,
    EngineFault,
    EngineRefused,
    EngineTimeout,
    EngineUnavailable,
    ImageMissing,
)
from gateway.settings import OWN_NETWORK

log = logging.getLogger(__name__)

POOL_SIZE = 100
"""Connections kept to the engine; the SDK's own default of 10 would make creates wait."""

EXIT_CODE_WAIT_S = 5.0
"""How long after the end of its output a process's exit status may take to appear."""


@contextmanager
def _translated() -> Iterator[None]:
    """Turn what the SDK and the layers below it raise into the gateway's own errors."""
    try:
        yield
    except docker_errors.APIError as error:
        raise EngineRefused(str(error.explanation or error)) from error
    except (requests.exceptions.Timeout, TimeoutError) as error:
        raise EngineTimeout(str(error)) from error
    except (docker_errors.DockerException, requests.RequestException) as error:
        raise EngineUnavailable(str(error)) from error
    except (HTTPError, OSError) as error:
        raise EngineUnavailable(str(error)) from error


@contextmanager
def _of_container(container_id: str) -> Iterator[None]:
    """Like `_translated`, for calls to which a missing or stopped container is ContainerGone."""
    with _translated():
        try:
            yield
        except docker_errors.NotFound as error:
            raise ContainerGone(f"no container {container_id:.12}") from error
        except docker_errors.APIError as error:
            if error.status_code == 409:
                raise ContainerGone(str(error.explanation)) from error
            raise


class DockerEngine:
    """Implements `gateway.engine.interface.Engine`."""

    def __init__(self, timeout_s: int) -> None:
        self._timeout_s = timeout_s
        self._client: docker.APIClient | None = None

    @property
    def _api(self) -> docker.APIClient:
        """The client, made at the first call: asking for the API version needs the engine."""
        if self._client is None:
            with _translated():
                self._client = docker.APIClient(
                    version="auto",
                    timeout=self._timeout_s,
                    max_pool_size=POOL_SIZE,
                    **kwargs_from_env(),
                )
        return self._client

    def version(self) -> str:
        with _translated():
            return f"Docker Engine {self._api.version()['Version']}"

    def is_local(self) -> bool:
        return os.environ.get("DOCKER_HOST", "unix://").startswith("unix://")

    def has_image(self, image: str) -> bool:
        with _translated():
            try:
                self._api.inspect_image(image)
            except docker_errors.ImageNotFound:
                return False
            return True

    def ensure_network(self, name: str) -> None:
        if name in ("bridge", "none"):
            return
        with _translated():
            if any(network["Name"] == name for network in self._api.networks(names=[name])):
                return
            if name != OWN_NETWORK:
                raise EngineRefused(f"network {name!r} does not exist")
            try:
                self._api.create_network(name, check_duplicate=True, **hardening.own_network())
            except docker_errors.APIError as error:
                if error.status_code != 409:  # another worker was first
                    raise

    def start_container(self, spec: ContainerSpec) -> ContainerInfo:
        api = self._api
        container_id = None
        try:
            with _translated():
                try:
                    created = api.create_container(
                        image=spec.image,
                        name=spec.name,
                        entrypoint=["sleep", "infinity"],
                        command=[],
                        user=hardening.HOLDER_USER,
                        labels=spec.labels,
                        hostname="sandbox",
                        working_dir="/",
                        host_config=api.create_host_config(
                            **hardening.host_config(spec.limits, spec.network)
                        ),
                    )
                except docker_errors.ImageNotFound as error:
                    raise ImageMissing(f"image {spec.image!r} does not exist") from error
                container_id = created["Id"]
                api.start(container_id)
            return self.inspect(container_id)
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
        with _of_container(container_id):
            found = self._api.inspect_container(container_id)
        state = found["State"]
        networks = found["NetworkSettings"]["Networks"] or {}
        return ContainerInfo(
            container_id=found["Id"],
            state=cast(ContainerState, state["Status"]),
            labels=found["Config"]["Labels"] or {},
            ip_address=_first_address(networks),
            pid=state["Pid"] or None,
            exit_code=None if state["Running"] else state["ExitCode"],
            oom_killed=bool(state.get("OOMKilled")),
        )

    def containers(self, labels: dict[str, str]) -> list[ContainerInfo]:
        with _translated():
            found = self._api.containers(all=True, filters={"label": _label_filter(labels)})
        return [
            ContainerInfo(
                container_id=entry["Id"],
                state=cast(ContainerState, entry["State"]),
                labels=entry["Labels"] or {},
                ip_address=_first_address(entry["NetworkSettings"]["Networks"] or {}),
            )
            for entry in found
        ]

    def events(self, labels: dict[str, str]) -> Iterator[ContainerEvent]:
        filters = {"type": "container", "label": _label_filter(labels)}
        with _translated():
            for event in self._api.events(filters=filters, decode=True):
                yield ContainerEvent(event["Action"], event["Actor"]["ID"])

    def remove(self, container_id: str) -> None:
        with _translated():
            try:
                self._api.remove_container(container_id, force=True, v=True)
            except docker_errors.NotFound:
                return
            except docker_errors.APIError as error:
                if error.status_code != 409:  # its removal is in progress already
                    raise

    def running_execs(self, container_id: str) -> int:
        with _of_container(container_id):
            found = self._api.inspect_container(container_id)
        running = 0
        for exec_id in found["ExecIDs"] or []:
            with _translated():
                try:
                    running += bool(self._api.exec_inspect(exec_id)["Running"])
                except docker_errors.NotFound:
                    continue
        return running

    def open_stream(self, container_id: str, argv: list[str], user: str) -> ExecStream:
        return self._start_exec(container_id, argv, user, stdin=True, directory=None)[1]

    def open_run(
        self, container_id: str, argv: list[str], user: str, directory: str | None
    ) -> _Run:
        exec_id, stream = self._start_exec(
            container_id, argv, user, stdin=False, directory=directory
        )
        return _Run(stream, lambda: self._exit_code(exec_id))

    def _start_exec(
        self, container_id: str, argv: list[str], user: str, stdin: bool, directory: str | None
    ) -> tuple[str, HijackedStream]:
        with _of_container(container_id):
            exec_id = self._api.exec_create(
                container_id, argv, stdin=stdin, user=user, workdir=directory
            )["Id"]
            return exec_id, HijackedStream(self._api.exec_start(exec_id, socket=True))

    def _exit_code(self, exec_id: str) -> int:
        """`Running: false` without a code also means "not started yet", so ask until it is set."""
        deadline = time.monotonic() + EXIT_CODE_WAIT_S
        while True:
            with _translated():
                found = self._api.exec_inspect(exec_id)
            if not found["Running"] and found["ExitCode"] is not None:
                return int(found["ExitCode"])
            if time.monotonic() > deadline:
                raise EngineRefused("the engine does not know the command's exit status")
            time.sleep(0.01)

    def close(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None


class _Run:
    """Implements `gateway.engine.interface.ExecRun`."""

    def __init__(self, stream: HijackedStream, exit_code: Callable[[], int]) -> None:
        self._stream = stream
        self.returncode = exit_code
        self.close = stream.close

    def output(self) -> Iterator[ExecOutput]:
        while pieces := self._stream.pieces():
            yield from pieces


def _label_filter(labels: dict[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in labels.items()]


def _first_address(networks: dict[str, Any]) -> str | None:
    """The IPv4 address in the first network that has one."""
    return next((n["IPAddress"] for n in networks.values() if n.get("IPAddress")), None)
