"""One exception class per `code` that the gateway answers with.

Written by `scripts/client_errors` from the gateway's own errors: edit those. What has a code that
is newer than this client is an `ApiError`.
"""

from __future__ import annotations

from .api_error import ApiError


class ClientFault(ApiError):
    """The request was not understood: the body is no JSON. On a WebSocket also: a missing or an
    unknown field, an unknown `type`, a value that is not allowed."""

    code = "bad_request"


class BadRequest(ClientFault):
    """The request is not valid."""


class ForeignHost(ClientFault):
    """The `Host` header is none of the gateway's names (`SANDBOX_PUBLIC_HOSTS`)."""

    code = "foreign_host"


class ForeignOrigin(ClientFault):
    """A web page of another site asked (`SANDBOX_CORS_ORIGINS`)."""

    code = "foreign_origin"


class Unauthorized(ClientFault):
    """There is no API key or access token, or none that is valid."""

    code = "unauthorized"


class TokenNotEnough(ClientFault):
    """An access token opens one sandbox only; this takes an API key."""

    code = "forbidden"


class OperatorsOnly(ClientFault):
    """The key is not one of `SANDBOX_OPERATORS`."""

    code = "operators_only"


class RateLimited(ClientFault):
    """The key has made more requests than it may (`rate` in the file of keys)."""

    code = "rate_limited"


class TooManyConnections(ClientFault):
    """One key or, without keys, one address has as many connections as it may have
    (`SANDBOX_MAX_CONNECTIONS_PER_CLIENT`, `SANDBOX_WEBSOCKETS_PER_KEY`)."""

    code = "too_many_connections"


class AddressNotFound(ClientFault):
    """There is no such address."""

    code = "not_found"


class MethodNotAllowed(ClientFault):
    """The address does not support the method."""

    code = "method_not_allowed"


class BadFields(ClientFault):
    """Fields or values are not allowed; `errors` names them."""

    code = "invalid_fields"


class BadMediaType(ClientFault):
    """A body came without `Content-Type: application/json`."""

    code = "unsupported_media_type"


class BodyTooLarge(ClientFault):
    """The body is larger than 1 MiB."""

    code = "body_too_large"


class BodyTimeout(ClientFault):
    """The body did not arrive within 20 seconds."""

    code = "body_timeout"


class AddressTooLong(ClientFault):
    """The request line is longer than 28 KiB. The server says so before any route is looked for."""

    code = "uri_too_long"


class HeadersTooLarge(ClientFault):
    """The header fields are larger than the server takes. It says so before any route is looked
    for."""

    code = "request_header_fields_too_large"


class UpgradeRequired(ClientFault):
    """An address below `/ws/` was asked by plain HTTP."""

    code = "upgrade_required"


class SandboxNotFound(ClientFault):
    """There is no such sandbox, or no longer; then `ended` says why."""

    code = "sandbox_not_found"


class SandboxBusy(ClientFault):
    """The sandbox is just being created, paused or restored, or a snapshot of it is taken."""

    code = "sandbox_busy"


class TooManySandboxes(ClientFault):
    """The key has as many sandboxes as it may have (`SANDBOX_MAX_PER_KEY`, or its line in the file
    of keys)."""

    code = "too_many_sandboxes"


class TooManyLabels(ClientFault):
    """The labels of one key's sandboxes together exceed an eighth of `SANDBOX_STORE_MB_PER_KEY`."""

    code = "too_many_labels"


class TooManyFollowers(ClientFault):
    """The key has as many event streams open as it may have (`SANDBOX_FOLLOWERS_PER_KEY`)."""

    code = "too_many_followers"


class TooManyWaiting(ClientFault):
    """The key's part of the queue (`SANDBOX_SHARE_PER_KEY`) waits for room already."""

    code = "too_many_waiting"


class NameTaken(ClientFault):
    """Another live sandbox of the same owner has the name."""

    code = "name_taken"


class IdempotencyKeyReused(ClientFault):
    """The `Idempotency-Key` was used with another body."""

    code = "idempotency_key_reused"


class IdempotencyKeySpent(ClientFault):
    """The sandbox of this `Idempotency-Key` has ended."""

    code = "idempotency_key_spent"


class RequestIdInUse(ClientFault):
    """A command with this `request_id` is still running on the connection."""

    code = "request_id_in_use"


class TooManyCommands(ClientFault):
    """Too many commands wait already, of the connection or the key (`SANDBOX_COMMANDS_PER_KEY`)."""

    code = "too_many_commands"


class TooManyStreams(ClientFault):
    """The key follows as many commands as it may (`SANDBOX_STREAMS_PER_KEY`)."""

    code = "too_many_streams"


class TooManyPortConnections(ClientFault):
    """The key has as many connections to servers in its sandboxes as it may have
    (`SANDBOX_PORT_CONNECTIONS_PER_KEY`)."""

    code = "too_many_port_connections"


class TooMuchQueued(ClientFault):
    """What waits, and the input of what runs, takes all that the key may have
    (`SANDBOX_HELD_INPUT_PER_KEY_MB`). Send it again later."""

    code = "too_much_queued"


class TooMuchUnread(ClientFault):
    """Answers that were asked for and not read hold all that the key may hold
    (`SANDBOX_HELD_OUTPUT_PER_KEY_MB`). Commands go on to their end, and what they wrote stays:
    attach again, or read their output."""

    code = "too_much_unread"


class CommandNotFound(ClientFault):
    """There is no such command, or it ended too long ago (`SANDBOX_RETAIN_S`)."""

    code = "command_not_found"


class CommandFinished(ClientFault):
    """The command has ended and takes neither input nor signals."""

    code = "command_finished"


class BadOffset(ClientFault):
    """The offset is beyond the end of the output."""

    code = "bad_offset"


class StdinNotOpen(ClientFault):
    """The command was not started with `interactive` or `tty`, or its input has ended."""

    code = "stdin_not_open"


class StdinFull(ClientFault):
    """The command has not read its input for three seconds, and 8 MiB wait. This message and all
    that follow for the command on this connection are not written."""

    code = "stdin_full"


class LineTooLong(ClientFault):
    """A line of more than 4,095 bytes for a terminal whose program reads by lines: nothing of it is
    written, for the kernel would cut it."""

    code = "line_too_long"


class TerminalMissing(ClientFault):
    """`resize` for a command without a terminal."""

    code = "no_terminal"


class IsolationUnavailable(ClientFault):
    """The host does not have this isolation level."""

    code = "isolation_unavailable"


class FeatureMissing(ClientFault):
    """The image has no `python3`, which this needs; or the sandbox has no disk of its own, which a
    restore needs, and most snapshots."""

    code = "feature_missing"


class ContextNotFound(ClientFault):
    """The sandbox has no code context of this id: it never was, was deleted, or ended with the
    sandbox's processes."""

    code = "context_not_found"


class TooManyContexts(ClientFault):
    """The sandbox has as many code contexts as it may (`SANDBOX_MAX_CONTEXTS`)."""

    code = "too_many_contexts"


class TooManyExecutions(ClientFault):
    """Too much code waits already, for the context (64) or of the key
    (`SANDBOX_COMMANDS_PER_KEY`)."""

    code = "too_many_executions"


class UserUnavailable(ClientFault):
    """`root` in a sandbox that was made without it."""

    code = "user_unavailable"


class SnapshotNotFound(ClientFault):
    """The caller has no snapshot of this id or name."""

    code = "snapshot_not_found"


class TooManySnapshots(ClientFault):
    """The key has as many snapshots (`SANDBOX_MAX_SNAPSHOTS`), or as many bytes of them
    (`SANDBOX_SNAPSHOTS_MB`), as it may have. Checkpoints make room by themselves."""

    code = "too_many_snapshots"


class SnapshotNameTaken(NameTaken):
    """Another snapshot has this name."""


class SnapshotTooLarge(ClientFault):
    """The new sandbox's disk (`disk_mb`) is smaller than that of the snapshot. Or one cannot be
    kept as an image, because the sandbox's files are longer, holes included, than its `disk_mb`; or
    because it was made of too many snapshots of each other."""

    code = "snapshot_too_large"


class BaseImageChanged(ClientFault):
    """The image that the snapshot's sandbox was made from is not on the host any more."""

    code = "base_image_changed"


class TooManyWatched(TooManyCommands):
    """Too many commands whose changes are asked for run already."""


class SnapshotUnrelated(ClientFault):
    """The snapshot is of another sandbox, from which the files of this one did not come."""

    code = "snapshot_unrelated"


class ContextsMissing(FeatureMissing):
    """The image runs no code of this language in contexts: it needs IPython, as the template `code-
    interpreter` has it."""


class SnapshotsMissing(FeatureMissing):
    """What a snapshot needs is not there: a disk of its own for the sandbox."""


class TemplateNotFound(ClientFault):
    """There is no template of this name."""

    code = "template_not_found"


class TemplateNameTaken(NameTaken):
    """Another template has this name."""


class TooManyTemplates(ClientFault):
    """There are as many templates as there may be (`SANDBOX_MAX_TEMPLATES`), or as many are being
    built."""

    code = "too_many_templates"


class TemplateTooLarge(ClientFault):
    """The image, or what an instruction has written, is larger than a template may be
    (`SANDBOX_TEMPLATE_MB`)."""

    code = "template_too_large"


class BadTemplate(ClientFault):
    """The context of a template is no tar archive with a `Dockerfile`, or needs what is not on the
    engine's host: another base, or something from the network."""

    code = "bad_template"


class BuildFailed(ClientFault):
    """An instruction of the template's Dockerfile did not succeed. `detail` is what the builder
    said at the end."""

    code = "build_failed"


class BuildTimeout(BuildFailed):
    """The build of a template took longer than it may (`SANDBOX_TEMPLATE_TIMEOUT`)."""

    code = "build_timeout"


class PathError(ClientFault):
    """The request is not valid."""


class PathNotFound(PathError):
    """There is nothing at this path in the sandbox."""

    code = "path_not_found"


class PermissionDenied(PathError):
    """The sandbox's user may not do that there."""

    code = "permission_denied"


class BadPath(PathError):
    """The path is empty or missing, longer than 4,096 bytes, has a zero byte or a part that is too
    long, or is a loop of links."""

    code = "bad_path"


class IsDirectory(PathError):
    """A file is needed, and there is a directory."""

    code = "is_directory"


class NotDirectory(PathError):
    """A directory is needed, and there is something else."""

    code = "not_directory"


class NotEmpty(PathError):
    """The directory is not empty, and `recursive` was not asked for."""

    code = "not_empty"


class AlreadyExists(PathError):
    """There is something at the path already."""

    code = "already_exists"


class NotAFile(PathError):
    """A FIFO, a device or a socket, which are neither read nor written here."""

    code = "not_a_file"


class Changed(PathError):
    """`If-Match` or `If-None-Match` does not fit: the file is not as the client knows it."""

    code = "changed"


class TooLarge(PathError):
    """An archive has more bytes or entries than it may (`SANDBOX_ARCHIVE_MB`,
    `SANDBOX_ARCHIVE_ENTRIES`), or a file is larger than its file system allows."""

    code = "too_large"


class BadRange(ClientFault):
    """The file has no such part (`Range`)."""

    code = "bad_range"


class BadArchive(ClientFault):
    """It is no tar archive, or a member would write beside the target: nothing was unpacked."""

    code = "bad_archive"


class BadMetadata(ClientFault):
    """A key of a file's metadata has more than 246 bytes, or all of it more than 4,096, or it is
    not printable ASCII, or the file system keeps none."""

    code = "bad_metadata"


class TooManyWatches(ClientFault):
    """The sandbox is watched as often as it may be."""

    code = "too_many_watches"


class WatchNotFound(ClientFault):
    """There is no such watch, or nobody has asked it for an hour."""

    code = "watch_not_found"


class HostFault(ApiError):
    """The host cannot do it at the moment."""

    code = "host_fault"


class EngineFault(HostFault):
    """The engine refused."""

    code = "engine_failed"


class EngineUnavailable(EngineFault):
    """Nobody answers at the engine's address."""

    code = "engine_unavailable"


class EngineTimeout(EngineFault):
    """The engine did not answer in time. A `DELETE` goes on by itself."""

    code = "engine_timeout"


class EngineRefused(EngineFault):
    """The container engine failed."""


class ContainerGone(EngineFault):
    """The container is not running any more."""

    code = "container_gone"


class ImageMissing(EngineFault):
    """The image of the sandboxes does not exist."""

    code = "image_missing"


class CapacityExhausted(HostFault):
    """The host is full, and the wait was in vain."""

    code = "capacity_exhausted"


class GatewayFull(HostFault):
    """The answers and messages of all clients hold all that a worker may hold for them
    (`SANDBOX_HELD_OUTPUT_MB`, `SANDBOX_HELD_INPUT_MB`). Commands go on."""

    code = "gateway_full"


class StoreUnavailable(HostFault):
    """The data directory cannot be used."""

    code = "store_unavailable"


class DiskFull(HostFault):
    """The engine's disk is nearly full (`SANDBOX_DISK_FLOOR_MB`)."""

    code = "disk_full"


class HostToolFailed(HostFault):
    """The host could not give the sandbox its disk, its user or its packet filter rules."""

    code = "host_tool_failed"


class GatewayStopping(HostFault):
    """The gateway is being stopped. Commands go on."""

    code = "gateway_stopping"


class NotReady(HostFault):
    """Only from `/readyz`: something that sandboxes need does not work. For operators `checks`
    names it."""

    code = "not_ready"


class FileFault(ApiError):
    """The sandbox's disk has answered with an error that no other code tells."""

    code = "file_failed"


class FileFailed(FileFault):
    """The sandbox's disk has failed."""


class NoSpace(FileFault):
    """The sandbox's disk is full. What was there before still stands."""

    code = "no_space"


class FileTimeout(FileFault):
    """The sandbox's disk does not answer."""

    code = "file_timeout"


class SandboxFault(ApiError):
    """The sandbox does not answer."""

    code = "sandbox_fault"


class AgentMissing(SandboxFault):
    """The image of the sandbox cannot run the agent."""

    code = "agent_missing"


class AgentUnavailable(SandboxFault):
    """The sandbox's agent could not be reached or started."""

    code = "agent_unavailable"


class LinkLost(SandboxFault):
    """The connection into the sandbox broke before the answer came. The command may be running."""

    code = "link_lost"


class ProtocolBroken(LinkLost):
    """The connection into the sandbox broke."""


class PortClosed(SandboxFault):
    """No server in the sandbox listens on the port. `listening` are the ports that are open."""

    code = "port_closed"


class PortFailed(SandboxFault):
    """The server in the sandbox ended the connection without an answer, was silent for longer than
    `SANDBOX_PORT_IDLE_TIMEOUT`, or what it sent is not HTTP."""

    code = "port_failed"


class CommandLost(SandboxFault):
    """The end of the command cannot be known any more, for example after `kill -9 -1` in the
    sandbox."""

    code = "command_lost"


BY_CODE: dict[str, type[ApiError]] = {
    "agent_missing": AgentMissing,
    "agent_unavailable": AgentUnavailable,
    "already_exists": AlreadyExists,
    "bad_archive": BadArchive,
    "bad_metadata": BadMetadata,
    "bad_offset": BadOffset,
    "bad_path": BadPath,
    "bad_range": BadRange,
    "bad_request": BadRequest,
    "bad_template": BadTemplate,
    "base_image_changed": BaseImageChanged,
    "body_timeout": BodyTimeout,
    "body_too_large": BodyTooLarge,
    "build_failed": BuildFailed,
    "build_timeout": BuildTimeout,
    "capacity_exhausted": CapacityExhausted,
    "changed": Changed,
    "command_finished": CommandFinished,
    "command_lost": CommandLost,
    "command_not_found": CommandNotFound,
    "container_gone": ContainerGone,
    "context_not_found": ContextNotFound,
    "disk_full": DiskFull,
    "engine_failed": EngineRefused,
    "engine_timeout": EngineTimeout,
    "engine_unavailable": EngineUnavailable,
    "feature_missing": FeatureMissing,
    "file_failed": FileFault,
    "file_timeout": FileTimeout,
    "forbidden": TokenNotEnough,
    "foreign_host": ForeignHost,
    "foreign_origin": ForeignOrigin,
    "gateway_full": GatewayFull,
    "gateway_stopping": GatewayStopping,
    "host_fault": HostFault,
    "host_tool_failed": HostToolFailed,
    "idempotency_key_reused": IdempotencyKeyReused,
    "idempotency_key_spent": IdempotencyKeySpent,
    "image_missing": ImageMissing,
    "invalid_fields": BadFields,
    "is_directory": IsDirectory,
    "isolation_unavailable": IsolationUnavailable,
    "line_too_long": LineTooLong,
    "link_lost": LinkLost,
    "method_not_allowed": MethodNotAllowed,
    "name_taken": NameTaken,
    "no_space": NoSpace,
    "no_terminal": TerminalMissing,
    "not_a_file": NotAFile,
    "not_directory": NotDirectory,
    "not_empty": NotEmpty,
    "not_found": AddressNotFound,
    "not_ready": NotReady,
    "operators_only": OperatorsOnly,
    "path_not_found": PathNotFound,
    "permission_denied": PermissionDenied,
    "port_closed": PortClosed,
    "port_failed": PortFailed,
    "rate_limited": RateLimited,
    "request_header_fields_too_large": HeadersTooLarge,
    "request_id_in_use": RequestIdInUse,
    "sandbox_busy": SandboxBusy,
    "sandbox_fault": SandboxFault,
    "sandbox_not_found": SandboxNotFound,
    "snapshot_not_found": SnapshotNotFound,
    "snapshot_too_large": SnapshotTooLarge,
    "snapshot_unrelated": SnapshotUnrelated,
    "stdin_full": StdinFull,
    "stdin_not_open": StdinNotOpen,
    "store_unavailable": StoreUnavailable,
    "template_not_found": TemplateNotFound,
    "template_too_large": TemplateTooLarge,
    "too_large": TooLarge,
    "too_many_commands": TooManyCommands,
    "too_many_connections": TooManyConnections,
    "too_many_contexts": TooManyContexts,
    "too_many_executions": TooManyExecutions,
    "too_many_followers": TooManyFollowers,
    "too_many_labels": TooManyLabels,
    "too_many_port_connections": TooManyPortConnections,
    "too_many_sandboxes": TooManySandboxes,
    "too_many_snapshots": TooManySnapshots,
    "too_many_streams": TooManyStreams,
    "too_many_templates": TooManyTemplates,
    "too_many_waiting": TooManyWaiting,
    "too_many_watches": TooManyWatches,
    "too_much_queued": TooMuchQueued,
    "too_much_unread": TooMuchUnread,
    "unauthorized": Unauthorized,
    "unsupported_media_type": BadMediaType,
    "upgrade_required": UpgradeRequired,
    "uri_too_long": AddressTooLong,
    "user_unavailable": UserUnavailable,
    "watch_not_found": WatchNotFound,
}
