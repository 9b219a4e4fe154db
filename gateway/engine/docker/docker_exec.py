"""Processes in containers, by docker exec: the part of the engine that runs them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from docker import errors as docker_errors

from gateway.engine.docker.error_translation import of_container, translated
from gateway.engine.docker.exec_stream import HijackedStream
from gateway.engine.interface import ExecOutput
from gateway.errors import EngineRefused

if TYPE_CHECKING:
    import docker

EXIT_CODE_WAIT_S = 5.0
"""How long after the end of its output a process's exit status may take to appear."""


def running_execs(api: docker.APIClient, container_id: str) -> int:
    """See `Engine.running_execs`."""
    with of_container(container_id):
        found = api.inspect_container(container_id)
    running = 0
    for exec_id in found["ExecIDs"] or []:
        with translated():
            try:
                running += bool(api.exec_inspect(exec_id)["Running"])
            except docker_errors.NotFound:
                continue
    return running


def open_stream(
    api: docker.APIClient, container_id: str, argv: list[str], user: str
) -> HijackedStream:
    """See `Engine.open_stream`."""
    return _start(api, container_id, argv, user, stdin=True, directory=None)[1]


def open_run(
    api: docker.APIClient,
    container_id: str,
    argv: list[str],
    user: str,
    directory: str | None,
    environment: Mapping[str, str] | None = None,
) -> Run:
    """See `Engine.open_run`."""
    exec_id, stream = _start(
        api, container_id, argv, user, stdin=False, directory=directory, environment=environment
    )
    return Run(stream, lambda: _exit_code(api, exec_id))


def _start(
    api: docker.APIClient,
    container_id: str,
    argv: list[str],
    user: str,
    stdin: bool,
    directory: str | None,
    environment: Mapping[str, str] | None = None,
) -> tuple[str, HijackedStream]:
    with of_container(container_id):
        exec_id = api.exec_create(
            container_id,
            argv,
            stdin=stdin,
            user=user,
            workdir=directory,
            environment=[f"{name}={value}" for name, value in (environment or {}).items()],
        )["Id"]
        return exec_id, HijackedStream(api.exec_start(exec_id, socket=True))


def _exit_code(api: docker.APIClient, exec_id: str) -> int:
    """`Running: false` without a code also means "not started yet", so ask until it is set."""
    deadline = time.monotonic() + EXIT_CODE_WAIT_S
    while True:
        with translated():
            found = api.exec_inspect(exec_id)
        if not found["Running"] and found["ExitCode"] is not None:
            return int(found["ExitCode"])
        if time.monotonic() > deadline:
            raise EngineRefused("the engine does not know the command's exit status")
        time.sleep(0.01)


class Run:
    """Implements `gateway.engine.interface.ExecRun`."""

    def __init__(self, stream: HijackedStream, exit_code: Callable[[], int]) -> None:
        self._stream = stream
        self.returncode = exit_code
        self.close = stream.close

    def output(self) -> Iterator[ExecOutput]:
        while pieces := self._stream.pieces():
            yield from pieces
