"""What E2B's clients send to the control plane. Fields that are not known here are ignored: there
are more in each of its versions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

DEFAULT_S = 300
LONGEST_S = 366 * 86400

MOST_FORKS = 64

Seconds = Annotated[float, Field(ge=0, le=LONGEST_S)]
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=4096)]


class Asked(BaseModel):
    """A body. Empty counts as `{}`."""

    model_config = ConfigDict(extra="ignore", frozen=True, populate_by_name=True)


class AutoResume(Asked):
    """Whether traffic wakes a paused sandbox."""

    enabled: bool = False


class Egress(Asked):
    """What a sandbox may reach, and who may reach it."""

    allow_out: list[Text] | None = Field(None, alias="allowOut", max_length=1024)
    deny_out: list[Text] | None = Field(None, alias="denyOut", max_length=1024)
    allow_public_traffic: bool | None = Field(None, alias="allowPublicTraffic")
    mask_request_host: Text | None = Field(None, alias="maskRequestHost")
    rules: Any = None
    egress_proxy: Any = Field(None, alias="egressProxy")
    dns_servers: Any = Field(None, alias="dnsServers")
    https_ports: Any = Field(None, alias="httpsPorts")


class ChangeNetwork(Egress):
    """Body of `PUT /sandboxes/{id}/network`."""

    allow_internet_access: bool | None = None


class Create(Asked):
    """Body of `POST /sandboxes` and `POST /v2/sandboxes`."""

    template_id: Text = Field("base", alias="templateID")
    timeout: Seconds = DEFAULT_S
    metadata: dict[Text, Text] | None = Field(None, max_length=256)
    env_vars: dict[Text, Text] | None = Field(None, alias="envVars", max_length=256)
    auto_pause: bool | None = Field(None, alias="autoPause")
    auto_pause_memory: bool | None = Field(None, alias="autoPauseMemory")
    auto_resume: AutoResume | None = Field(None, alias="autoResume")
    allow_internet_access: bool | None = None
    network: Egress | None = None
    iam: Any = None
    volume_mounts: list[Any] | None = Field(None, alias="volumeMounts", max_length=256)


class Connect(Asked):
    """Body of connect and resume."""

    timeout: Seconds | None = None
    auto_pause: bool | None = Field(None, alias="autoPause")
    memory: bool | None = None


class Timeout(Asked):
    """Body of `POST /sandboxes/{id}/timeout`."""

    timeout: Seconds


class Refresh(Asked):
    """Body of `POST /sandboxes/{id}/refreshes`."""

    duration: Seconds = 15


class Pause(Asked):
    """Body of `POST /sandboxes/{id}/pause`."""

    memory: bool | None = None
    require_healthy_guest: bool | None = Field(None, alias="requireHealthyGuest")


class TakeSnapshot(Asked):
    """Body of `POST /sandboxes/{id}/snapshots`."""

    name: Text | None = None
    memory: bool | None = None


class Fork(Asked):
    """Body of `POST /sandboxes/{id}/fork`."""

    timeout: Seconds = 15
    count: Annotated[int, Field(ge=1, le=MOST_FORKS)] = 1
