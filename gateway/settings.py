"""All configuration: one frozen object, read once from SANDBOX_* environment variables."""

from __future__ import annotations

import hashlib
import ipaddress
import os
import re
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gateway.errors import SettingsError

MIB = 1024 * 1024

OWN_NETWORK = "sandbox-gateway"
"""Name of the bridge network that the gateway makes for its sandboxes, and of its interface."""

SHARED_UID = 1000
"""The user that images' files belong to, and of sandboxes that have none of their own."""

_NETWORK_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}")
_DOMAIN = re.compile(r"(\*\.)?([a-z0-9_]([a-z0-9_-]*[a-z0-9_])?\.)+[a-z][a-z0-9-]*")
_HOST_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?|[0-9a-f:.]*:[0-9a-f:.]*")
_KEY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SNAPSHOT = "snapshot:"
_WITH_ROOT = "+root"
_POOLED_SNAPSHOT = re.compile(
    r"snapshot:(([A-Za-z0-9][A-Za-z0-9._@-]{0,63})/)?([a-z0-9][a-z0-9-]{0,62})"
)
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_UIDS = re.compile("([0-9]{4,10})-([0-9]{4,10})")
_NOBODY = 65534
_NETWORKS_THAT_SHARE_A_STACK = {"host", "container"}

Isolation = Literal["standard", "strict", "gvisor"]

OWN_TEMPLATES = ("code-interpreter",)
"""Images of the gateway's own besides the default one: folders of scripts/image."""

POSTURE = (
    *("engine", "containerd", "runc", "seccomp", "lsm", "userns", "cgroups", "limits"),
    *("disk", "disk_space", "users", "network", "oom", "snapshots"),
)
"""What `/readyz` says about the host, and SANDBOX_REQUIRE may demand."""


MCP_TOOLS = (
    *("create_sandbox", "list_sandboxes", "delete_sandbox"),
    *("run_command", "read_output", "write_stdin", "stop_command"),
    *("read_file", "write_file", "edit_file", "list_files", "port_url"),
    *("snapshot", "restore", "fork"),
)
"""What clients of the Model Context Protocol may be given."""


def _default_data_dir() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "sandbox-gateway"


class Settings(BaseSettings):
    """What the operator may choose. Every field is the variable SANDBOX_<NAME>."""

    model_config = SettingsConfigDict(env_prefix="SANDBOX_", frozen=True, extra="ignore")

    host: str = Field(
        "127.0.0.1",
        min_length=1,
        description="Address to listen on. Any other than a loopback address needs API keys.",
    )
    port: int = Field(
        8003,
        ge=1,
        le=65535,
        description="TCP port to listen on. The argument of `start.sh` takes precedence.",
    )
    workers: int = Field(2, ge=1, le=64, description="Number of gunicorn worker processes.")
    data_dir: Path = Field(
        default_factory=_default_data_dir,
        description="Directory of the store, under `$XDG_STATE_HOME` if that is set. It is "
        "made if it is missing, readable by its owner only.",
    )
    api_keys: SecretStr = Field(
        SecretStr(""),
        description="API keys: `name:key` or `name:sha256:<hex>`, separated by commas.",
    )
    api_keys_file: str = Field(
        "",
        description="File of API keys, which is read again when it changes. Each line is "
        "`name sha256:<hex>`, and limits of that name may follow.",
    )
    operators: str = Field(
        "",
        description="Names of API keys, separated by commas, whose holders see `/metrics` and "
        "all of `/readyz`: totals of all tenants, and the host's versions. Others "
        "only see whether the gateway is ready.",
    )
    max_connections: int = Field(
        20000,
        ge=20,
        le=1000000,
        description="Most connections of clients per worker, and at most three quarters of "
        "its open files. A tenth is for clients that have not shown a key yet.",
    )
    max_connections_per_client: int = Field(
        0,
        ge=0,
        le=1000000,
        description="Most connections per worker of one key or, without keys, of one address. "
        "0: four fifths of those that are not for strangers.",
    )
    insecure: bool = Field(
        False,
        description="1: listen on any address even without API keys. Then anyone who can "
        "reach the port can use the gateway.",
    )
    token_ttl: float = Field(
        86400, ge=1, le=366 * 86400, description="Seconds that an access token is valid."
    )
    ports_domain: str = Field(
        "localhost",
        description="Domains under which servers in sandboxes have names of their own, as "
        "`8000-<sandbox id>.localhost`, separated by commas. Give them to nothing else. Empty: "
        "such servers are reached by path only.",
    )
    port_token_ttl: float = Field(
        3600,
        ge=1,
        le=366 * 86400,
        description="Seconds that the address of a port is valid which asks for no `ttl`, and at "
        "most `SANDBOX_TOKEN_TTL`.",
    )
    port_connections_per_key: int = Field(
        512,
        ge=1,
        le=100000,
        description="Connections to servers in sandboxes, of one API key or, without keys, of one "
        "sandbox, per worker.",
    )
    port_idle_timeout: float = Field(
        3600,
        ge=1,
        le=366 * 86400,
        description="Seconds after which a connection to a server in a sandbox is ended on which "
        "nothing is sent either way.",
    )
    public_hosts: str = Field(
        "",
        description="Further names of the gateway, of a proxy or in the LAN, separated by "
        "commas. `*.example.com` stands for all names below.",
    )
    cors_origins: str = Field(
        "",
        description="Origins whose web pages may use the gateway, as `https://example.com`, "
        "separated by commas. `*` stands for all and needs API keys.",
    )
    mcp_tools: str = Field(
        "",
        description="Tools that `/mcp` offers, separated by commas. Empty: all. `off`: there is no "
        "`/mcp`.",
    )
    mcp_wait: float = Field(
        45,
        ge=0,
        le=45,
        description="Seconds that the tools `run_command` and `read_output` wait where a call does "
        "not say.",
    )
    mcp_chars: int = Field(
        20000,
        ge=1000,
        le=1000000,
        description="Characters that the answer of a tool has at most where a call does not say, "
        "in its text and in its structure each.",
    )
    mcp_max_chars: int = Field(
        100000,
        ge=1000,
        le=1000000,
        description="Most characters that a call may ask for (`max_chars`).",
    )
    mcp_timeout: float = Field(
        0,
        ge=0,
        le=366 * 86400,
        description="Seconds after which a command ends that the tool `run_command` started "
        "without a `timeout`. 0: never.",
    )
    audit_log: str = Field(
        "audit.jsonl",
        min_length=1,
        description="File of the audit log, relative to the data directory. `off`: none.",
    )
    audit_log_mb: int = Field(
        64,
        ge=0,
        le=1048576,
        description="Size in MiB at which the audit log is renamed to `….1`. 0: never.",
    )
    image: str = Field(
        "sandbox-websocket-image", min_length=1, description="Image that sandboxes are made from."
    )
    images: str = Field(
        "",
        description="Images that clients may ask for besides `SANDBOX_IMAGE`, separated by commas.",
    )
    templates: str = Field(
        "",
        description="Images of the gateway's own that clients may ask for by these names, between "
        "commas: `code-interpreter`, which has IPython, numpy, pandas and matplotlib for code "
        "contexts. `start.sh` builds the image (`sandbox-code-interpreter`) where it is missing.",
    )
    network: str = Field(
        OWN_NETWORK,
        description="`sandbox-gateway`: a bridge of its own, without traffic between "
        "sandboxes. `none`. `bridge`: Docker's default one. Or the name of "
        "another network.",
    )
    egress: Literal["internet", "all", "none"] = Field(
        "internet",
        description="What sandboxes reach on the gateway's own network. `internet`: neither the "
        "host nor private networks nor metadata addresses. `all`: those too. `none`: nothing.",
    )
    egress_allow: str = Field(
        "",
        description="Networks and addresses that sandboxes reach all the same, like "
        "`10.1.0.0/16,192.168.1.20`, separated by commas. The host itself only by "
        "a single address.",
    )
    egress_domains: str = Field(
        "",
        description="Domains like `pypi.org,*.debian.org`, separated by commas, that "
        "sandboxes reach through a proxy on the gateway's own network, on ports "
        "80 and 443; then they reach nothing else. Needs the packet filter.",
    )
    egress_proxy_port: int = Field(
        3128, ge=1, le=65535, description="TCP port of that proxy, on the bridge's address."
    )
    name_rate: int = Field(
        50,
        ge=0,
        le=100000,
        description="Names that a sandbox may ask for per second, on average, and ten times "
        "as many at once. 0: no limit.",
    )
    connection_rate: int = Field(
        50,
        ge=0,
        le=10000,
        description="New connections of a sandbox per second, on average, and ten times as "
        "many at once, on the gateway's own network. 0: no limit.",
    )
    connections: int = Field(
        1024,
        ge=0,
        le=1000000,
        description="Open connections of a sandbox through the host, on the gateway's own "
        "network. 0: no limit.",
    )
    link: Literal["auto", "exec"] = Field(
        "auto",
        description="How agents are reached. `auto`: through the container's network "
        "namespace where the gateway may (as root, on the engine's host), else by "
        "docker exec. `exec`: always by docker exec.",
    )
    isolation: Isolation = Field(
        "standard",
        description="Isolation of sandboxes that ask for none.",
    )
    allow_root: bool = Field(
        False,
        description="1: clients may ask for sandboxes with `root`, in which commands, terminals "
        "and files may be root's, and `sudo` works. See security.md for what that costs.",
    )
    idle_timeout: float = Field(
        3600,
        ge=1,
        le=366 * 86400,
        description="`idle_timeout` of sandboxes that ask for none, in seconds: so long "
        "nobody is connected and no command runs.",
    )
    max_idle_timeout: float = Field(
        7 * 86400,
        ge=1,
        le=366 * 86400,
        description="Largest `idle_timeout` that a client may ask for, in seconds.",
    )
    timeout: float = Field(
        0,
        ge=0,
        le=366 * 86400,
        description="Lifetime of sandboxes that ask for none, in seconds. 0: without end.",
    )
    max_timeout: float = Field(
        30 * 86400,
        ge=1,
        le=366 * 86400,
        description="Largest `timeout` that a client may ask for, in seconds.",
    )
    warning: float = Field(
        60,
        ge=0,
        le=86400,
        description="Seconds before its end that followers of a sandbox's events are warned.",
    )
    memory_mb: int = Field(
        1024,
        ge=16,
        le=1048576,
        description="Memory of sandboxes that ask for none, in MiB, swap included.",
    )
    cpus: float = Field(
        1.0, ge=0.05, le=1024, description="CPU cores of sandboxes that ask for none."
    )
    pids: int = Field(
        512, ge=16, le=1048576, description="Processes and threads of sandboxes that ask for none."
    )
    file_size_mb: int = Field(
        4096, ge=1, le=1048576, description="Largest single file that a sandbox may write, in MiB."
    )
    max_memory_mb: int = Field(
        0,
        ge=0,
        le=1048576,
        description="Largest `memory_mb` that a client may ask for. 0: what the host has.",
    )
    max_cpus: float = Field(
        0,
        ge=0,
        le=1024,
        description="Largest `cpus` that a client may ask for. 0: what the host has.",
    )
    max_pids: int = Field(
        4096, ge=16, le=1048576, description="Largest `pids` that a client may ask for."
    )
    max_disk_mb: int = Field(
        16384, ge=1, le=104857600, description="Largest `disk_mb` that a client may ask for."
    )
    max: int = Field(
        0,
        ge=0,
        le=100000,
        description="Most sandboxes at a time. 0: as many as the host's memory bears "
        "(`SANDBOX_MEMORY_OVERCOMMIT`).",
    )
    max_per_key: int = Field(
        0,
        ge=0,
        le=100000,
        description="Most sandboxes at a time of one API key, without keys of all clients. 0: "
        "no limit.",
    )
    share_per_key: float = Field(
        0.8,
        gt=0,
        le=1,
        description="Part of the host's capacity (`SANDBOX_MAX`, or the memory) and of the "
        "queue that one API key may take where there are several. 1: all of it. "
        "Limits of a key in `SANDBOX_API_KEYS_FILE` rule instead.",
    )
    followers_per_key: int = Field(
        1000,
        ge=1,
        le=100000,
        description="Event streams (`GET /events` and those of sandboxes) that one API key may "
        "have open at a time, per worker.",
    )
    store_mb_per_key: int = Field(
        32,
        ge=1,
        le=65536,
        description="What the store keeps of one API key's sandboxes, in MiB: events, ended "
        "sandboxes and their last commands, `once`, labels. The oldest go first.",
    )
    memory_overcommit: float = Field(
        4,
        ge=0.1,
        le=100,
        description="How many times the host's memory the memory limits of all sandboxes may "
        "add up to. Most sandboxes use a small part of theirs.",
    )
    memory_reserve_mb: int = Field(
        512,
        ge=0,
        le=1048576,
        description="Memory that must be free on the host for another sandbox, in MiB.",
    )
    queue_size: int = Field(
        100, ge=0, le=10000, description="Creates that wait for room at a time."
    )
    queue_wait: float = Field(
        30, ge=0, le=600, description="Seconds that a create waits for room; then 503."
    )
    pool_size: int = Field(
        2,
        ge=0,
        le=1000,
        description="Sandboxes that stand ready, of each pooled image. 0: none.",
    )
    pool_images: str = Field(
        "",
        description="Images of which sandboxes stand ready, separated by commas. "
        "`image@isolation` for another isolation, `image+root` or `image@isolation+root` for those "
        "with root (`SANDBOX_ALLOW_ROOT`). `snapshot:name` for a snapshot of an operator's "
        "key (or without keys), which everybody may then use by its name; `snapshot:key/name` for "
        "one of another key, which stays that key's. Empty: that of `SANDBOX_IMAGE`.",
    )
    certificate_days: float = Field(
        7,
        gt=0,
        le=3660,
        description="Days that it can be asked why a sandbox ended, and what happened to it.",
    )
    disk_mb: int = Field(
        8192,
        ge=16,
        le=16777216,
        description="What a sandbox may write, in MiB; and one file or directory per 16 KiB.",
    )
    disk_write_mb_s: int = Field(
        64,
        ge=0,
        le=1048576,
        description="What a sandbox may write to its disk per second, in MiB. 0: no limit.",
    )
    disk_floor_mb: int = Field(
        2048,
        ge=0,
        le=16777216,
        description="Free space of the engine's disk that is kept, in MiB: no sandbox is "
        "created, and those that wrote most end, before less is left.",
    )
    max_snapshots: int = Field(
        100,
        ge=0,
        le=1000000,
        description="Snapshots of one API key or, without keys, of all together. 0: none may be "
        "taken.",
    )
    snapshots_mb: int = Field(
        65536,
        ge=0,
        le=104857600,
        description="What the snapshots of one API key take on the host's disk, in MiB, before "
        "another may be taken. 0: no limit.",
    )
    max_contexts: int = Field(
        32,
        ge=1,
        le=1000,
        description="Code contexts that a sandbox may have, each with a process of its own.",
    )
    max_templates: int = Field(
        20,
        ge=0,
        le=10000,
        description="Images that operators may have built by `POST /templates`. 0: none.",
    )
    template_mb: int = Field(
        4096,
        ge=1,
        le=1048576,
        description="What the image of a template may take on the engine's host, with what it is "
        "built upon, in MiB; and what a step of its build may write.",
    )
    template_context_mb: int = Field(
        256, ge=1, le=1048576, description="Largest context of a template's build, in MiB."
    )
    template_timeout: float = Field(
        600, ge=1, le=86400, description="Seconds that the build of a template may take."
    )
    template_memory_mb: int = Field(
        2048, ge=16, le=16777216, description="Memory of a step of a template's build, in MiB."
    )
    template_network: Literal["none", "default"] = Field(
        "none",
        description="`default`: what a template's build runs has the engine's usual network, past "
        "the gateway's packet filter. Bases and files of the network are not fetched in any case.",
    )
    disk_dir: str = Field(
        "",
        description="Directory for the images behind the sandboxes' disks. Empty: "
        "`sandbox-gateway` in the engine's own directory.",
    )
    uids: str = Field(
        "65536-99999",
        description="Numbers, as `first-last`, of which each sandbox gets one for its user, "
        "so that it shares none of the limits that the kernel counts per user; "
        "where the gateway is root on the engine's host. Empty: all sandboxes run "
        "as user 1000.",
    )
    max_output_mb: int = Field(
        8, ge=1, le=16, description="Cap of `output` and of `error` in a result, in MiB each."
    )
    retain_output_mb: int = Field(
        16, ge=1, le=1024, description="Output kept per command and stream, in MiB."
    )
    retain_total_mb: int = Field(
        256,
        ge=1,
        le=65536,
        description="Kept of all commands of a sandbox, in MiB, 4 KiB for each of them "
        "included; of the sandbox's own memory, and at most a quarter of it.",
    )
    retain_s: float = Field(
        600,
        ge=1,
        le=30 * 86400,
        description="Seconds that a finished command and its output can be asked for.",
    )
    held_output_mb: int = Field(
        96,
        ge=4,
        le=65536,
        description="Command output and other answers that a worker holds while clients read "
        "them, in MiB.",
    )
    held_output_per_key_mb: int = Field(
        32,
        ge=1,
        le=65536,
        description="Of that, the share of one API key or, without keys, of one sandbox, in MiB. "
        "More waits for 30 s, then 429.",
    )
    held_input_mb: int = Field(
        64,
        ge=4,
        le=65536,
        description="What a worker holds of messages that clients have sent over WebSockets, "
        "while they wait or run, in MiB.",
    )
    held_input_per_key_mb: int = Field(
        24,
        ge=1,
        le=65536,
        description="Of that, the share of one API key or, without keys, of one sandbox, in MiB.",
    )
    archive_mb: int = Field(
        8192,
        ge=1,
        le=1024 * 1024,
        description="What an archive, and what E2B's clients send as gzip, may be unpacked to, in "
        "MiB; more is 413.",
    )
    archive_entries: int = Field(
        250_000, ge=1, le=10_000_000, description="Files and directories in one archive."
    )
    archive_timeout: float = Field(
        1800, ge=1, le=86400, description="Seconds that unpacking an archive may take."
    )
    websockets_per_key: int = Field(
        1000,
        ge=1,
        le=100000,
        description="Open WebSockets of one API key or, without keys, of one sandbox, per worker.",
    )
    commands_per_key: int = Field(
        1024,
        ge=1,
        le=100000,
        description="Commands whose result is waited for, of one API key or, without keys, of "
        "one sandbox, per worker.",
    )
    streams_per_key: int = Field(
        512,
        ge=1,
        le=100000,
        description="Commands that are followed, and terminals, of one API key or, without "
        "keys, of one sandbox, per worker.",
    )
    write_timeout: float = Field(
        30,
        ge=1,
        le=3600,
        description="Seconds within which a client must take 1 KiB for each of them of what "
        "it is sent; else it is given up.",
    )
    max_message_kb: int = Field(
        1024, ge=16, le=2048, description="Largest message from a client, in KiB."
    )
    ping_interval: float = Field(
        25,
        ge=1,
        le=3600,
        description="Seconds between pings on a WebSocket. A client silent for two of them "
        "counts as gone.",
    )
    engine_timeout: int = Field(
        20, ge=1, le=600, description="Seconds an answer of the Docker Engine may take."
    )
    log_level: Annotated[str, Field(pattern="^(debug|info|warning|error)$")] = Field(
        "info", description="`debug`, `info`, `warning` or `error`."
    )
    require: str = Field(
        "",
        description="What the host must be shown to enforce, else the gateway refuses to start; "
        f"names with commas between them, of {', '.join(f'`{name}`' for name in POSTURE)}.",
    )
    instance: str = Field(
        "",
        pattern="^[a-z0-9-]{0,63}$",
        description="Label that marks this gateway's containers. Empty: derived from the path "
        "of the data directory, so that a restarted gateway finds its sandboxes "
        "again.",
    )

    @field_validator("network")
    @classmethod
    def _network_is_no_shared_stack(cls, name: str) -> str:
        if not _NETWORK_NAME.fullmatch(name) or name in _NETWORKS_THAT_SHARE_A_STACK:
            raise ValueError("must be the name of a network and neither `host` nor `container:…`")
        return name

    @field_validator("templates")
    @classmethod
    def _templates_are_known(cls, text: str) -> str:
        for name in _listed(text):
            if name not in OWN_TEMPLATES:
                raise ValueError(f"{name!r} is none of {', '.join(OWN_TEMPLATES)}")
        return text

    @field_validator("pool_images")
    @classmethod
    def _pooled_levels_exist(cls, text: str) -> str:
        for entry in _listed(text):
            if entry.startswith(_SNAPSHOT):
                if not _POOLED_SNAPSHOT.fullmatch(entry):
                    raise ValueError(f"{entry!r} must be `snapshot:name` or `snapshot:key/name`")
                continue
            entry = entry.removesuffix(_WITH_ROOT)
            if "@" in entry and entry.rpartition("@")[2] not in get_args(Isolation):
                raise ValueError(f"{entry!r} names no isolation level after its `@`")
        return text

    @field_validator("uids")
    @classmethod
    def _uids_are_a_range(cls, text: str) -> str:
        _uid_range(text)
        return text

    @property
    def uid_range(self) -> range:
        """`uids`, read."""
        return _uid_range(self.uids)

    @field_validator("require")
    @classmethod
    def _required_can_be_shown(cls, text: str) -> str:
        for name in _listed(text):
            if name not in POSTURE:
                raise ValueError(f"{name!r} is none of {', '.join(POSTURE)}")
        return text

    @property
    def required(self) -> frozenset[str]:
        """Names of what the host must be shown to enforce."""
        return frozenset(_listed(self.require))

    @property
    def allowed_images(self) -> tuple[str, ...]:
        """Images that clients may ask for; the first is what they get otherwise."""
        return tuple(dict.fromkeys((self.image, *_listed(self.images))))

    @property
    def own_templates(self) -> dict[str, str]:
        """The image of each of the gateway's own templates that clients may ask for, by its
        name."""
        return {name: f"sandbox-{name}" for name in _listed(self.templates)}

    @property
    def pooled(self) -> tuple[tuple[str, Isolation], ...]:
        """(image, isolation level) of which sandboxes without root stand ready."""
        return self._pooled(_listed(self.pool_images) or [self.image], has_root=False)

    @property
    def pooled_with_root(self) -> tuple[tuple[str, Isolation], ...]:
        """(image, isolation level) of which sandboxes with root stand ready."""
        return self._pooled(_listed(self.pool_images), has_root=True)

    def _pooled(self, entries: list[str], *, has_root: bool) -> tuple[tuple[str, Isolation], ...]:
        pairs = []
        for entry in entries:
            if entry.startswith(_SNAPSHOT) or entry.endswith(_WITH_ROOT) != has_root:
                continue
            entry = entry.removesuffix(_WITH_ROOT)
            image, _, level = entry.rpartition("@") if "@" in entry else (entry, "", self.isolation)
            image = self.own_templates.get(image, image)
            pairs.append((image, cast(Isolation, level)))
        return tuple(dict.fromkeys(pairs))

    @property
    def pooled_snapshots(self) -> tuple[tuple[str | None, str], ...]:
        """(name of a key, name of its snapshot) of which sandboxes stand ready; None for an
        operator's, which everybody may use."""
        found = [_POOLED_SNAPSHOT.fullmatch(entry) for entry in _listed(self.pool_images)]
        return tuple(dict.fromkeys((one[2], one[3]) for one in found if one is not None))

    @field_validator("mcp_tools")
    @classmethod
    def _mcp_tools_exist(cls, names: str) -> str:
        for name in _listed(names):
            if name not in MCP_TOOLS and names.strip() != "off":
                raise ValueError(f"{name!r:.80} is none of {', '.join(MCP_TOOLS)}")
        return names

    @property
    def mcp_tool_names(self) -> frozenset[str]:
        """`mcp_tools`, one by one; none where there is no such surface."""
        if self.mcp_tools.strip() == "off":
            return frozenset()
        return frozenset(_listed(self.mcp_tools) or MCP_TOOLS)

    @field_validator("egress_allow")
    @classmethod
    def _egress_allow_is_networks(cls, text: str) -> str:
        _networks(text)
        return text

    @field_validator("egress_domains")
    @classmethod
    def _egress_domains_are_names(cls, text: str) -> str:
        for domain in _listed(text):
            if not _DOMAIN.fullmatch(domain):
                raise ValueError(f"{domain!r} is not a domain in lower case, or `*.` and one")
        return text

    @property
    def egress_domain_names(self) -> tuple[str, ...]:
        """`egress_domains`, read."""
        return tuple(_listed(self.egress_domains))

    @property
    def egress_networks(self) -> list[IPv4Network | IPv6Network]:
        """`egress_allow`, read."""
        return _networks(self.egress_allow)

    @field_validator("public_hosts")
    @classmethod
    def _public_hosts_are_names(cls, names: str) -> str:
        for name in _lowered(names):
            if not _HOST_NAME.fullmatch(name):
                raise ValueError(f"{name!r:.80} is no name of a host (without a port)")
        return names

    @field_validator("ports_domain")
    @classmethod
    def _ports_domain_is_domains(cls, names: str) -> str:
        for name in _lowered(names):
            if name.startswith("*.") or ":" in name or not _HOST_NAME.fullmatch(name):
                raise ValueError(f"{name!r:.80} is no domain (without `*.` and a port)")
        return names

    @property
    def ports_domains(self) -> tuple[str, ...]:
        """`ports_domain`, one by one and in lower case."""
        return tuple(dict.fromkeys(name.rstrip(".") for name in _lowered(self.ports_domain)))

    @field_validator("cors_origins")
    @classmethod
    def _cors_origins_are_origins(cls, origins: str) -> str:
        for origin in _lowered(origins):
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r:.80} is no origin, as https://example.com:8443")
        return origins

    @property
    def has_keys(self) -> bool:
        """Whether callers need a key."""
        return bool(self.api_keys.get_secret_value() or self.api_keys_file)

    @field_validator("operators")
    @classmethod
    def _operators_are_names_of_keys(cls, names: str) -> str:
        for name in _listed(names):
            if not _KEY_NAME.fullmatch(name):
                raise ValueError(f"{name!r:.80} cannot be the name of a key")
        return names

    @property
    def operator_names(self) -> frozenset[str]:
        """`operators`, one by one."""
        return frozenset(_listed(self.operators))

    @property
    def names(self) -> frozenset[str]:
        """`public_hosts`, one by one and in lower case."""
        return frozenset(_lowered(self.public_hosts))

    @property
    def origins(self) -> frozenset[str]:
        """`cors_origins`, one by one and in lower case."""
        return frozenset(_lowered(self.cors_origins))

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
    def held_input_bytes(self) -> int:
        return self.held_input_mb * MIB

    @property
    def held_input_per_key_bytes(self) -> int:
        return self.held_input_per_key_mb * MIB

    @property
    def held_output_bytes(self) -> int:
        return self.held_output_mb * MIB

    @property
    def held_output_per_key_bytes(self) -> int:
        return self.held_output_per_key_mb * MIB

    @property
    def max_output_bytes(self) -> int:
        return self.max_output_mb * MIB

    @property
    def max_message_bytes(self) -> int:
        return self.max_message_kb * 1024


def _uid_range(text: str) -> range:
    if not text:
        return range(0)
    found = _UIDS.fullmatch(text)
    uids = range(int(found[1]), int(found[2]) + 1) if found else range(0)
    # The container's first process is user 65534. Beyond 2^31 containerd has taken numbers for
    # root's (CVE-2024-40635).
    if not uids or uids[0] <= SHARED_UID or uids[-1] >= 1 << 31 or _NOBODY in uids:
        raise ValueError(
            "must be `first-last`, from 1001 to 2147483647 and without 65534, or empty"
        )
    return uids


def _networks(text: str) -> list[IPv4Network | IPv6Network]:
    return [ip_network(part) for part in _listed(text)]


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


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
    if settings.pooled_with_root and not settings.allow_root:
        raise SettingsError(
            f"SANDBOX_POOL_IMAGES={settings.pool_images} is wrong: sandboxes with root need "
            "SANDBOX_ALLOW_ROOT=1"
        )
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


def _lowered(text: str) -> list[str]:
    return [part.lower() for part in _listed(text)]
