"""Building images by the engine's own builder ("BuildImage" in the Engine API)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any

import docker
from docker import errors as docker_errors
from docker.utils.json_stream import json_stream

from gateway.engine.container_hardening import cpu_quota
from gateway.engine.docker.error_translation import translated
from gateway.engine.interface import BuildLimits
from gateway.errors import BuildFailed


def build(
    api: docker.APIClient, context: IO[bytes], image: str, limits: BuildLimits
) -> Iterator[str]:
    """Not by the SDK's own method: that leaves the connection open when nobody reads on, by which
    the engine would know that it may stop."""
    untyped: Any = api
    with translated():
        answer = untyped._post(
            untyped._url("/build"),
            data=context,
            params=_parameters(image, limits),
            headers={"Content-Type": "application/x-tar"},
            stream=True,
            timeout=limits.silence_s,
        )
        try:
            _raise_for_status(untyped, answer)
            messages: Iterator[Any] = json_stream(untyped._stream_helper(answer))
            for message in messages:
                if "error" in message:
                    raise BuildFailed(str(message["error"]))
                if message.get("stream"):
                    yield str(message["stream"])
        finally:
            answer.close()


def _parameters(image: str, limits: BuildLimits) -> dict[str, Any]:
    period_us, quota_us = cpu_quota(limits.cpus)
    return {
        "t": image,
        "dockerfile": "Dockerfile",
        "nocache": True,  # what is left of a cache would be found by nobody
        "rm": True,
        "forcerm": True,
        "pull": False,
        "memory": limits.memory_bytes,
        "memswap": limits.memory_bytes,
        "cpuperiod": period_us,
        "cpuquota": quota_us,
        "networkmode": "default" if limits.has_network else "none",
    }


def _raise_for_status(api: Any, answer: Any) -> None:
    try:
        api._raise_for_status(answer)
    except docker_errors.APIError as error:
        if error.status_code == 400:  # it does not understand the Dockerfile
            raise BuildFailed(str(error.explanation)) from error
        raise
