"""All configuration: one frozen object, read once from SANDBOX_* environment variables."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.errors import SettingsError

MIB = 1024 * 1024

OWN_NETWORK = "sandbox-gateway"
"""Name of the bridge network that the gateway makes for its sandboxes."""

_NETWORK_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
_HOST_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|[0-9a-f:.]*:[0-9a-f:.]*")
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_NETWORKS_THAT_SHARE_A_STACK = {"host", "container"}


def _default_data_dir() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "sandbox-gateway"


class Settings(BaseSettings):
    """What the operator may choose. Every field is the variable SANDBOX_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="SANDBOX_", frozen=True, extra="ignore")

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on. Another than loopback takes API keys.",
    )
    port: int = Field(8003, ge=1, le=65535, description="TCP port to listen on.")
    workers: int = Field(2, ge=1, le=64, description="Number of gunicorn worker processes.")
    data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="Directory of the store; made if missing, readable by its owner only.",
    )
    api_keys: SecretStr = Field(
        SecretStr(""),
        description="API keys: `name:key` or `name:sha256:<hex>`, separated by commas.",
    )
    api_keys_file: str = Field(
        "",
        description="File of API keys, read again when it changes. A line each: `name "
        "sha256:<hex>`, and limits.",
    )
    insecure: bool = Field(
        False, description="Listen on any address even without API keys: whoever gets there may."
    )
    token_ttl: float = Field(
        86400, ge=1, le=366 * 86400, description="Seconds that an access token is valid."
    )
    public_hosts: str = Field(
        "",
        description="Further names of the gateway (of a proxy, in the LAN), separated by commas; "
        "`*.example.com` for all below.",
    )
    cors_origins: str = Field(
        "",
        description="Origins whose web pages may use the gateway, separated by commas; `*`, with "
        "API keys only, for all.",
    )
    audit_log: str = Field(
        "audit.jsonl",
        min_length=1,
        description="File of the audit log, relative to the data directory, or `off`.",
    )
    audit_log_mb: int = Field(
        64,
        ge=0,
        le=1048576,
        description="Size at which the audit log is renamed to `….1`, in MiB; 0: never.",
    )
    image: str = Field(
        "sandbox-websocket-image", min_length=1, description="Image that sandboxes are made from."
    )
    network: str = Field(
        OWN_NETWORK,
        description="`sandbox-gateway` (a bridge of its own, no traffic between sandboxes), "
        "`bridge` (Docker's default bridge), `none`, or the name of another network.",
    )
    link: Literal["auto", "exec"] = Field(
        "auto",
        description="How the gateway reaches the agents. `auto`: through the container's network "
        "namespace where it may (as root, on the engine's host), else by docker exec. `exec`: "
        "always by docker exec.",
    )
    idle_timeout: float = Field(
        3600, ge=1, le=366 * 86400, description="Seconds without client and command until removal."
    )
    memory_mb: int = Field(1024, ge=16, le=1048576, description="Memory of a sandbox, in MiB.")
    cpus: float = Field(1.0, ge=0.05, le=1024, description="CPU cores a sandbox may use.")
    pids: int = Field(512, ge=16, le=1048576, description="Processes and threads in a sandbox.")
    file_size_mb: int = Field(
        4096, ge=1, le=1048576, description="Largest file a sandbox may write, in MiB."
    )
    max_output_mb: int = Field(
        8, ge=1, le=16, description="Cap of `output` and of `error` in one result, in MiB each."
    )
    retain_output_mb: int = Field(
        16, ge=1, le=1024, description="Output kept per command and stream, in MiB."
    )
    retain_total_mb: int = Field(
        256,
        ge=1,
        le=65536,
        description="Output kept of all commands of a sandbox, in MiB, of its own memory and at "
        "most a quarter of that.",
    )
    retain_s: float = Field(
        600, ge=1, le=30 * 86400, description="Seconds that a finished command can be attached to."
    )
    max_message_kb: int = Field(
        1024, ge=16, le=2048, description="Largest message from a client, in KiB."
    )
    ping_interval: float = Field(
        25, ge=1, le=3600, description="Seconds between keep-alive pings on a WebSocket."
    )
    engine_timeout: int = Field(
        30, ge=1, le=600, description="Seconds an answer of the Docker Engine may take."
    )
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = Field(
        "info", description="`debug`, `info`, `warning` or `error`."
    )
    instance: str = Field(
        "",
        pattern="^[a-z0-9-]{0,63}$",
        description="Label that marks this gateway's containers. Default: derived from the path "
        "of the data directory, so that a restarted gateway finds its sandboxes again.",
    )

    @field_validator("network")
    @classmethod
    def _network_is_no_shared_stack(cls, name: str) -> str:
        if not _NETWORK_NAME.fullmatch(name) or name in _NETWORKS_THAT_SHARE_A_STACK:
            raise ValueError("must be the name of a network and neither `host` nor `container:…`")
        return name

    @field_validator("public_hosts")
    @classmethod
    def _public_hosts_are_names(cls, names: str) -> str:
        for name in _listed(names):
            if not _HOST_NAME.fullmatch(name):
                raise ValueError(f"{name!r:.80} is no name of a host (without a port)")
        return names

    @field_validator("cors_origins")
    @classmethod
    def _cors_origins_are_origins(cls, origins: str) -> str:
        for origin in _listed(origins):
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r:.80} is no origin, as https://example.com:8443")
        return origins

    @property
    def has_keys(self) -> bool:
        """Whether callers need a key."""
        return bool(self.api_keys.get_secret_value() or self.api_keys_file)

    @property
    def names(self) -> frozenset[str]:
        """`public_hosts`, one by one and in lower case."""
        return frozenset(_listed(self.public_hosts))

    @property
    def origins(self) -> frozenset[str]:
        """`cors_origins`, one by one and in lower case."""
        return frozenset(_listed(self.cors_origins))

    @property
    def audit_path(self) -> Path | None:
        """None when there is to be no audit log."""
        return None if self.audit_log == "off" else self.data_dir / self.audit_log

    @property
    def instance_id(self) -> str:
        """The label value that ties containers to this gateway, stable over restarts."""
        if self.instance:
            return self.instance
        path = os.path.realpath(self.data_dir)
        return hashlib.sha256(path.encode()).hexdigest()[:16]

    @property
    def max_output_bytes(self) -> int:
        return self.max_output_mb * MIB

    @property
    def max_message_bytes(self) -> int:
        return self.max_message_kb * 1024


def load_settings(**overrides: Any) -> Settings:
    """Read the environment. Raises SettingsError, one line, naming the variable and its value."""
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        field = str(first["loc"][0]) if first["loc"] else "?"
        reason = first["msg"].removeprefix("Value error, ")
        raise SettingsError(
            f"SANDBOX_{field.upper()}={first['input']!s:.200} is wrong: {reason}"
        ) from None
    check_reach(settings, settings.host)
    if "*" in settings.origins and not settings.has_keys:
        raise SettingsError(
            "SANDBOX_CORS_ORIGINS=* is wrong: without API keys any web page could use the gateway"
        )
    return settings


def check_reach(settings: Settings, host: str) -> None:
    """Raises SettingsError where everybody could reach a gateway that asks nobody for a key."""
    if not (settings.has_keys or settings.insecure or is_loopback(host)):
        raise SettingsError(
            f"SANDBOX_HOST={host} is wrong: without API keys (SANDBOX_API_KEYS, "
            "SANDBOX_API_KEYS_FILE) only a loopback address is listened on; SANDBOX_INSECURE=1 "
            "does it all the same"
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address, or a name for it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _listed(text: str) -> list[str]:
    return [part.strip().lower() for part in text.split(",") if part.strip()]
