"""What a sandbox is made with: one value, and for each of its fields what becomes of it.

A new option is a field here, with a default, and a field of what clients send and are shown
(`gateway.schemas.models.sandboxes`). Storing, labelling, adoption and the pool follow from the
`Option` of the field.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from typing import Any, Literal

from gateway.engine.interface import Isolation, Limits

_OPTION = "option"

Pooled = Literal["fixed", "adjusted", "given", "unpooled"]
"""What the pool does with an option. `fixed`: a pooled sandbox serves only requests with the same
value. `adjusted`: it is changed on the running container. `given`: noted when one is taken.
`unpooled`: a request that has it gets a new container."""

Stored = Literal["json", "column", "no"]
"""Where the store has an option. `json`: among others in the row's `options`; older rows do not
have it, and mean its default. `column`: in a column of the row, as what queries read must be.
`no`: nowhere, and the container's label does not say it either."""


@dataclass(frozen=True)
class Option:
    """What becomes of one field of `SandboxSpec`."""

    called: str
    """What clients call it."""
    pooled: Pooled
    read: Callable[[Any], Any]
    """From the JSON of a container's label."""
    stored: Stored = "json"
    is_shown: bool = True
    may_be_none: bool = False


def _option(*about: Any, **more: Any) -> dict[str, Option]:
    return {_OPTION: Option(*about, **more)}


def _column(*about: Any, **more: Any) -> dict[str, Option]:
    return _option(*about, stored="column", **more)


@dataclass(frozen=True)
class SandboxSpec:
    """What a sandbox is made with. `network` is the client's word: `bridge` or `none`."""

    image: str = field(metadata=_column("image", "fixed", str))
    isolation: Isolation = field(metadata=_column("isolation", "fixed", str))
    network: str = field(metadata=_column("network", "fixed", str))
    cpus: float = field(metadata=_column("cpus", "adjusted", float))
    memory_mb: int = field(metadata=_column("memory_mb", "adjusted", int))
    pids: int = field(metadata=_column("pids", "adjusted", int))
    disk_mb: int | None = field(metadata=_column("disk_mb", "fixed", int, may_be_none=True))
    file_size_mb: int = field(
        metadata=_option("file_size_mb", "fixed", int, stored="no", is_shown=False)
    )
    env: Mapping[str, str] = field(
        metadata=_option("env", "unpooled", dict, stored="no", is_shown=False)
    )
    labels: Mapping[str, str] = field(metadata=_column("labels", "given", dict))
    timeout_s: float | None = field(metadata=_column("timeout", "given", float, may_be_none=True))
    idle_timeout_s: float = field(metadata=_column("idle_timeout", "given", float))
    idle_action: str = field(metadata=_column("idle_action", "given", str))
    name: str | None = field(default=None, metadata=_column("name", "given", str, may_be_none=True))
    snapshot: str | None = field(
        default=None,
        metadata=_option("snapshot", "fixed", str, is_shown=False, may_be_none=True),
    )
    root: bool = field(default=False, metadata=_option("root", "fixed", bool))
    timeout_action: str = field(default="delete", metadata=_option("timeout_action", "given", str))
    notes: Mapping[str, Any] = field(
        default_factory=dict, metadata=_option("notes", "given", dict, is_shown=False)
    )
    """What the surface that it was made by keeps with it."""

    @property
    def limits(self) -> Limits:
        """What the engine holds it to."""
        return Limits(
            memory_mb=self.memory_mb,
            cpus=self.cpus,
            pids=self.pids,
            file_size_mb=self.file_size_mb,
            disk_mb=self.disk_mb,
        )


OPTIONS: Mapping[str, Option] = {one.name: one.metadata[_OPTION] for one in fields(SandboxSpec)}
"""By the name of the field."""


def asked_for(request: object) -> dict[str, Any]:
    """The fields of a spec that a client's request says."""
    said = {name: getattr(request, option.called, None) for name, option in OPTIONS.items()}
    return {name: value for name, value in said.items() if value is not None}


def option_of(made_with: object, name: str) -> Any:
    """The value of an option in a spec or in a row of the store."""
    if OPTIONS[name].stored == "json" and not isinstance(made_with, SandboxSpec):
        options: Mapping[str, Any] = made_with.options  # type: ignore[attr-defined]  # a row's
        return options.get(name, _default_of(name))
    return getattr(made_with, name)


def _default_of(name: str) -> Any:
    """Of an option in JSON: those have one."""
    declared = SandboxSpec.__dataclass_fields__[name]
    return declared.default if declared.default is not MISSING else {}


def labelled(made_with: object) -> dict[str, Any]:
    """What the container's label says of a spec or a row."""
    return {name: option_of(made_with, name) for name, one in OPTIONS.items() if one.stored != "no"}


def stored(spec: SandboxSpec) -> dict[str, Any]:
    """What the row of the store says of a spec, by the names of its fields."""
    columns = {name: getattr(spec, name) for name, one in OPTIONS.items() if one.stored == "column"}
    options = {
        name: getattr(spec, name)
        for name, one in OPTIONS.items()
        if one.stored == "json" and getattr(spec, name) != _default_of(name)
    }
    return {**columns, "options": options}


def shown(made_with: object) -> dict[str, Any]:
    """What clients are shown of a spec or a row, in their words."""
    return {
        option.called: option_of(made_with, name)
        for name, option in OPTIONS.items()
        if option.is_shown
    }


def recalled(said: Mapping[str, Any], default: SandboxSpec) -> SandboxSpec:
    """The spec that a container's label tells of; what it does not say is as `default` has it.

    Raises ValueError and TypeError for values that no gateway has written.
    """
    values: dict[str, Any] = {}
    for name, option in OPTIONS.items():
        if option.stored == "no" or name not in said:
            continue
        if said[name]:
            values[name] = option.read(said[name])
        elif said[name] is None and option.may_be_none:
            values[name] = None
    return replace(default, **values)


def fixed_in_the_pool(spec: SandboxSpec) -> tuple[Any, ...] | None:
    """What a pooled sandbox must have in common with a request that it serves; None where only a
    new one serves it."""
    values = {name: (getattr(spec, name), option.pooled) for name, option in OPTIONS.items()}
    if any(value for value, pooled in values.values() if pooled == "unpooled"):
        return None
    return tuple(value for value, pooled in values.values() if pooled == "fixed")
