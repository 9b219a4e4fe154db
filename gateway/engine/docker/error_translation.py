"""What the docker SDK and the layers below it raise, as the gateway's own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests
from docker import errors as docker_errors
from urllib3.exceptions import HTTPError

from gateway.errors import ContainerGone, EngineRefused, EngineTimeout, EngineUnavailable


@contextmanager
def translated() -> Iterator[None]:
    """Raises EngineRefused, EngineTimeout and EngineUnavailable in the place of foreign errors."""
    try:
        yield
    except docker_errors.APIError as error:
        raise EngineRefused(str(error.explanation or error)) from error
    except (requests.exceptions.Timeout, TimeoutError) as error:
        raise EngineTimeout(str(error)) from error
    except (docker_errors.DockerException, requests.RequestException) as error:
        # The SDK's client asks for the engine's version when it is made, and wraps what comes.
        if isinstance(error.__cause__, requests.exceptions.Timeout):
            raise EngineTimeout(str(error)) from error
        raise EngineUnavailable(str(error)) from error
    except (HTTPError, OSError) as error:
        raise EngineUnavailable(str(error)) from error


@contextmanager
def of_container(container_id: str) -> Iterator[None]:
    """Like `translated`, for calls to which a missing or stopped container is ContainerGone."""
    with translated():
        try:
            yield
        except docker_errors.NotFound as error:
            raise ContainerGone(f"no container {container_id:.12}") from error
        except docker_errors.APIError as error:
            if error.status_code == 409:
                raise ContainerGone(str(error.explanation)) from error
            raise
