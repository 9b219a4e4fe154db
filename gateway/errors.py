"""Every error the gateway raises on purpose, split by whose fault it is.

GatewayError
├── SettingsError                 the operator's configuration
├── ClientFault                   the request cannot be served as it is
│   ├── BadRequest                not understood at all
│   ├── ForeignHost               the Host header names another site
│   ├── ForeignOrigin             a web page of another site asked
│   ├── Unauthorized              no key, or none that is valid
│   ├── TokenNotEnough            an access token opens one sandbox and nothing else
│   ├── OperatorsOnly             the key is none of an operator's
│   ├── RateLimited               more requests than the key may make
│   ├── TooManyConnections        of one client, or of all together
│   ├── AddressNotFound           there is no such route
│   ├── MethodNotAllowed
│   ├── BadFields                 understood, but its values are refused
│   ├── BadMediaType
│   ├── BodyTooLarge
│   ├── BodyTimeout               the body did not come in time
│   ├── AddressTooLong            the request line does not fit
│   ├── HeadersTooLarge           the header fields do not fit
│   ├── UpgradeRequired           a WebSocket endpoint was asked by plain HTTP
│   ├── SandboxNotFound
│   ├── SandboxBusy               it is in the middle of another change
│   ├── TooManySandboxes          of one API key
│   ├── TooManyLabels             of one API key's sandboxes together
│   ├── TooManyFollowers          of one API key, of events
│   ├── TooManyWaiting            creates of one API key that wait for room
│   ├── NameTaken                 another of the owner's has it
│   │   ├── SnapshotNameTaken
│   │   └── TemplateNameTaken
│   ├── IdempotencyKeyReused      for another request
│   ├── IdempotencyKeySpent       the sandbox that it stands for has ended
│   ├── RequestIdInUse
│   ├── TooManyCommands
│   │   └── TooManyWatched        whose changes are asked for
│   ├── TooManyStreams            followed commands of one owner
│   ├── TooManyPortConnections    to servers in sandboxes, of one owner
│   ├── TooMuchQueued             messages of one owner that wait, or run, hold its share
│   ├── TooMuchUnread             answers of one owner that were not read hold its share
│   ├── CommandNotFound           not known (any more) under this request_id
│   ├── CommandFinished           nothing can be sent to it any more
│   ├── BadOffset                 beyond the end of the output
│   ├── StdinNotOpen              the command takes no input
│   ├── StdinFull                 the command does not read its input
│   ├── LineTooLong               a terminal's line takes no more
│   ├── TerminalMissing           the command has no terminal
│   ├── IsolationUnavailable      the host does not have the isolation level
│   ├── FeatureMissing            the sandbox's image cannot do that
│   │   ├── SnapshotsMissing      the sandbox has no disk of its own
│   │   └── ContextsMissing       the image runs no code of this language
│   ├── ContextNotFound           of code
│   ├── TooManyContexts           of one sandbox
│   ├── TooManyExecutions         wait for one context, or of one owner
│   ├── UserUnavailable           the sandbox has no root
│   ├── SnapshotNotFound
│   ├── TooManySnapshots          of one API key
│   ├── SnapshotTooLarge          the disk is smaller than that of the snapshot
│   ├── BaseImageChanged          a snapshot's image is gone
│   ├── SnapshotUnrelated         its files are not those that the sandbox's came from
│   ├── TemplateNotFound
│   ├── TooManyTemplates          of all, or in the making
│   ├── TemplateTooLarge          it, or what its build has written
│   ├── BadTemplate               its context cannot be built here
│   ├── BuildFailed               an instruction of its Dockerfile did not succeed
│   │   └── BuildTimeout
│   ├── BadRange                  the file has no such part
│   ├── BadArchive                it is none, or would write beside its target
│   ├── BadMetadata               it is none, or the file system keeps none
│   ├── TooManyWatches            of one sandbox
│   ├── WatchNotFound             it was ended, or was not asked for long
│   └── PathError                 what a path leads to is not what the request needs
│       ├── BadPath, PathNotFound, PermissionDenied
│       ├── IsDirectory, NotDirectory, NotEmpty, AlreadyExists, NotAFile
│       ├── Changed               another has written it meanwhile
│       └── TooLarge
├── HostFault                     the machine or the engine underneath
│   ├── EngineFault
│   │   ├── EngineUnavailable     nobody answers
│   │   ├── EngineTimeout         it took the call and did not answer in time
│   │   ├── EngineRefused         it answered with an error
│   │   ├── ContainerGone         the container does not exist or does not run
│   │   └── ImageMissing
│   ├── CapacityExhausted         there is no room for another sandbox, and the wait was in vain
│   ├── GatewayFull               it holds as much for its clients as it may
│   ├── StoreUnavailable
│   │   └── StoreTooNew           a later version of the gateway has written it
│   ├── DiskFull                  too little space is left on the host
│   ├── HostToolFailed            mkfs, mount, iptables
│   ├── GatewayStopping           a request would have had to wait longer than this process lives
│   └── NotReady                  something that sandboxes need does not work
├── FileFault                     the sandbox's own disk
│   ├── NoSpace                   it is full
│   ├── FileFailed                it said something that no other error tells
│   └── FileTimeout               it does not answer
└── SandboxFault                  what runs inside the sandbox
    ├── AgentMissing              the image has no python3 to run the agent
    ├── AgentUnavailable          the agent could not be reached or started
    ├── LinkLost                  the stream to the agent broke
    │   └── ProtocolBroken        what came was nothing that an agent sends
    ├── PortClosed                nothing listens on the port
    ├── PortFailed                the server there does not answer, or not in HTTP
    └── CommandLost               a command's end can no longer be known

The first paragraph of a class's docstring is what `docs/` says about its code (`scripts/docs`).
`code` is stable and machine-readable. `title` is constant. `message` is what the edge translates
for people; it may name things (`%(sandbox_id)s`) and is the title where none is given. `detail` is
English for whoever debugs. HTTP statuses exist only in `gateway.middleware.problem_documents`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def _mark_for_translation(text: str) -> str:
    """Make `pybabel extract` find a text that is translated later, when a request is at hand."""
    return text


N_ = _mark_for_translation


class GatewayError(Exception):
    """Nobody has foreseen what failed. The gateway's log has it, under the same `instance`.

    Base of all errors. `params` fill the placeholders of `message`.
    `members` are what a problem document says beyond the usual (RFC 9457, section 3.2).
    """

    code = "internal_error"
    title = N_("Internal error")
    message = ""
    retry_after_s: float | None = None
    """When the same request may succeed, where that is known better than in general."""

    def __init__(self, detail: str = "", **params: str) -> None:
        super().__init__(detail or (self.message or self.title) % params)
        self.detail = detail
        self.params = params
        self.members: dict[str, object] = {}


class SettingsError(GatewayError):
    """A setting has a value that is not allowed. It ends the start."""

    code = "bad_settings"
    title = N_("Wrong configuration")


class ClientFault(GatewayError):
    """The request was not understood: the body is no JSON. On a WebSocket also: a missing or an
    unknown field, an unknown `type`, a value that is not allowed."""

    code = "bad_request"
    title = N_("The request is not valid")


class BadRequest(ClientFault):
    pass


class ForeignHost(ClientFault):
    """The `Host` header is none of the gateway's names (`SANDBOX_PUBLIC_HOSTS`)."""

    code = "foreign_host"
    title = N_("This gateway is not known by that name")


class ForeignOrigin(ClientFault):
    """A web page of another site asked (`SANDBOX_CORS_ORIGINS`)."""

    code = "foreign_origin"
    title = N_("Web pages of other sites may not use this gateway")


class Unauthorized(ClientFault):
    """There is no API key or access token, or none that is valid."""

    code = "unauthorized"
    title = N_("A valid API key or access token is needed")


class TokenNotEnough(ClientFault):
    """An access token opens one sandbox only; this takes an API key."""

    code = "forbidden"
    title = N_("This takes an API key: an access token opens one sandbox only")


class OperatorsOnly(ClientFault):
    """The key is not one of `SANDBOX_OPERATORS`."""

    code = "operators_only"
    title = N_("Only an operator's API key shows this")


class RateLimited(ClientFault):
    """The key has made more requests than it may (`rate` in the file of keys)."""

    code = "rate_limited"
    title = N_("Too many requests; try again a little later")

    def __init__(self, detail: str = "", retry_after_s: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class TooManyConnections(ClientFault):
    """One key or, without keys, one address has as many connections as it may have
    (`SANDBOX_MAX_CONNECTIONS_PER_CLIENT`, `SANDBOX_WEBSOCKETS_PER_KEY`)."""

    code = "too_many_connections"
    title = N_("Too many connections at once")


class AddressNotFound(ClientFault):
    """There is no such address."""

    code = "not_found"
    title = N_("There is nothing at this address")


class MethodNotAllowed(ClientFault):
    """The address does not support the method."""

    code = "method_not_allowed"
    title = N_("This address does not support the method")


class BadFields(ClientFault):
    """Fields or values are not allowed; `errors` names them.

    `errors` say where (`loc`), what (`type`) and why (`msg`), as the model `FieldError`.
    """

    code = "invalid_fields"
    title = N_("The request has values that are not allowed")

    def __init__(self, detail: str = "", errors: Sequence[Mapping[str, object]] = ()) -> None:
        super().__init__(detail)
        if errors:
            self.members["errors"] = list(errors)


class BadMediaType(ClientFault):
    """A body came without `Content-Type: application/json`."""

    code = "unsupported_media_type"
    title = N_("The body must be JSON (Content-Type: application/json)")


class BodyTooLarge(ClientFault):
    """The body is larger than 1 MiB."""

    code = "body_too_large"
    title = N_("The body is too large")


class BodyTimeout(ClientFault):
    """The body did not arrive within 20 seconds."""

    code = "body_timeout"
    title = N_("The body did not arrive in time")


class AddressTooLong(ClientFault):
    """The request line is longer than 28 KiB. The server says so before any route is looked for."""

    code = "uri_too_long"
    title = N_("URI Too Long")


class HeadersTooLarge(ClientFault):
    """The header fields are larger than the server takes. It says so before any route is looked
    for."""

    code = "request_header_fields_too_large"
    title = N_("Request Header Fields Too Large")


class UpgradeRequired(ClientFault):
    """An address below `/ws/` was asked by plain HTTP."""

    code = "upgrade_required"
    title = N_("This address speaks WebSocket only")


class SandboxNotFound(ClientFault):
    """There is no such sandbox, or no longer; then `ended` says why."""

    code = "sandbox_not_found"
    title = N_("Sandbox not found")
    message = N_("Sandbox %(sandbox_id)s not found")

    def __init__(self, sandbox_id: str, detail: str = "") -> None:
        super().__init__(detail, sandbox_id=sandbox_id)


class SandboxBusy(ClientFault):
    """The sandbox is just being created, paused or restored, or a snapshot of it is taken."""

    code = "sandbox_busy"
    title = N_("The sandbox is in the middle of another change")


class TooManySandboxes(ClientFault):
    """The key has as many sandboxes as it may have (`SANDBOX_MAX_PER_KEY`, or its line in the file
    of keys)."""

    code = "too_many_sandboxes"
    title = N_("This API key has as many sandboxes as it may have")


class TooManyLabels(ClientFault):
    """The labels of one key's sandboxes together exceed an eighth of `SANDBOX_STORE_MB_PER_KEY`."""

    code = "too_many_labels"
    title = N_("The labels of this API key's sandboxes are too large together")


class TooManyFollowers(ClientFault):
    """The key has as many event streams open as it may have (`SANDBOX_FOLLOWERS_PER_KEY`)."""

    code = "too_many_followers"
    title = N_("This API key follows events as often as it may")


class TooManyWaiting(ClientFault):
    """The key's part of the queue (`SANDBOX_SHARE_PER_KEY`) waits for room already."""

    code = "too_many_waiting"
    title = N_("This API key has as many creates waiting for room as it may have")


class NameTaken(ClientFault):
    """Another live sandbox of the same owner has the name."""

    code = "name_taken"
    title = N_("Another sandbox has this name")


class IdempotencyKeyReused(ClientFault):
    """The `Idempotency-Key` was used with another body."""

    code = "idempotency_key_reused"
    title = N_("The idempotency key was used for another request")


class IdempotencyKeySpent(ClientFault):
    """The sandbox of this `Idempotency-Key` has ended."""

    code = "idempotency_key_spent"
    title = N_("The sandbox of this idempotency key has ended")


class RequestIdInUse(ClientFault):
    """A command with this `request_id` is still running on the connection."""

    code = "request_id_in_use"
    title = N_("A command with this request_id is still running")


class TooManyCommands(ClientFault):
    """Too many commands wait already, of the connection or the key (`SANDBOX_COMMANDS_PER_KEY`)."""

    code = "too_many_commands"
    title = N_("Too many commands at once")


class TooManyStreams(ClientFault):
    """The key follows as many commands as it may (`SANDBOX_STREAMS_PER_KEY`)."""

    code = "too_many_streams"
    title = N_("Too many commands are followed at once")


class TooManyPortConnections(ClientFault):
    """The key has as many connections to servers in its sandboxes as it may have
    (`SANDBOX_PORT_CONNECTIONS_PER_KEY`)."""

    code = "too_many_port_connections"
    title = N_("Too many connections to servers in sandboxes at once")


class TooMuchQueued(ClientFault):
    """What waits, and the input of what runs, takes all that the key may have
    (`SANDBOX_HELD_INPUT_PER_KEY_MB`). Send it again later."""

    code = "too_much_queued"
    title = N_("Too much that you have sent still waits or runs")


class TooMuchUnread(ClientFault):
    """Answers that were asked for and not read hold all that the key may hold
    (`SANDBOX_HELD_OUTPUT_PER_KEY_MB`). Commands go on to their end, and what they wrote stays:
    attach again, or read their output."""

    code = "too_much_unread"
    title = N_("Read the answers that you have asked for first; commands and what they wrote stay")


class CommandNotFound(ClientFault):
    """There is no such command, or it ended too long ago (`SANDBOX_RETAIN_S`)."""

    code = "command_not_found"
    title = N_("No command with this request_id is known")


class CommandFinished(ClientFault):
    """The command has ended and takes neither input nor signals."""

    code = "command_finished"
    title = N_("The command has ended")


class BadOffset(ClientFault):
    """The offset is beyond the end of the output."""

    code = "bad_offset"
    title = N_("The offset is beyond the end of the output")


class StdinNotOpen(ClientFault):
    """The command was not started with `interactive` or `tty`, or its input has ended."""

    code = "stdin_not_open"
    title = N_("The command takes no input, or not any more")


class StdinFull(ClientFault):
    """The command has not read its input for three seconds, and 8 MiB wait. This message and all
    that follow for the command on this connection are not written."""

    code = "stdin_full"
    title = N_("The command does not read its input; this and what follows was not written")


class LineTooLong(ClientFault):
    """A line of more than 4,095 bytes for a terminal whose program reads by lines: nothing of it is
    written, for the kernel would cut it."""

    code = "line_too_long"
    title = N_("A line on a terminal has at most 4,095 bytes; it was not written")


class TerminalMissing(ClientFault):
    """`resize` for a command without a terminal."""

    code = "no_terminal"
    title = N_("The command has no terminal")


class IsolationUnavailable(ClientFault):
    """The host does not have this isolation level."""

    code = "isolation_unavailable"
    title = N_("This host does not have the isolation level")


class FeatureMissing(ClientFault):
    """The image has no `python3`, which this needs; or the sandbox has no disk of its own, which
    a restore needs, and most snapshots."""

    code = "feature_missing"
    title = N_("This sandbox's image cannot do that: it has no python3")


class ContextNotFound(ClientFault):
    """The sandbox has no code context of this id: it never was, was deleted, or ended with the
    sandbox's processes."""

    code = "context_not_found"
    title = N_("No such code context is known")


class TooManyContexts(ClientFault):
    """The sandbox has as many code contexts as it may (`SANDBOX_MAX_CONTEXTS`)."""

    code = "too_many_contexts"
    title = N_("This sandbox has as many code contexts as it may")


class TooManyExecutions(ClientFault):
    """Too much code waits already, for the context (64) or of the key
    (`SANDBOX_COMMANDS_PER_KEY`)."""

    code = "too_many_executions"
    title = N_("Too much code waits to be run")


class UserUnavailable(ClientFault):
    """`root` in a sandbox that was made without it."""

    code = "user_unavailable"
    title = N_("This sandbox has no such user: it was made without root")


class SnapshotNotFound(ClientFault):
    """The caller has no snapshot of this id or name."""

    code = "snapshot_not_found"
    title = N_("No such snapshot is known")


class TooManySnapshots(ClientFault):
    """The key has as many snapshots (`SANDBOX_MAX_SNAPSHOTS`), or as many bytes of them
    (`SANDBOX_SNAPSHOTS_MB`), as it may have. Checkpoints make room by themselves."""

    code = "too_many_snapshots"
    title = N_("This API key has as many snapshots as it may have")


class SnapshotNameTaken(NameTaken):
    title = N_("Another snapshot has this name")


class SnapshotTooLarge(ClientFault):
    """The new sandbox's disk (`disk_mb`) is smaller than that of the snapshot. Or one cannot be
    kept as an image, because the sandbox's files are longer, holes included, than its `disk_mb`;
    or because it was made of too many snapshots of each other."""

    code = "snapshot_too_large"
    title = N_("The disk is too small for this snapshot")


class BaseImageChanged(ClientFault):
    """The image that the snapshot's sandbox was made from is not on the host any more."""

    code = "base_image_changed"
    title = N_("The image that this snapshot needs is gone")


class TooManyWatched(TooManyCommands):
    title = N_("Too many commands whose changes are asked for run already")


class SnapshotUnrelated(ClientFault):
    """The snapshot is of another sandbox, from which the files of this one did not come."""

    code = "snapshot_unrelated"
    title = N_("The snapshot is of a sandbox that this one has nothing to do with")


class ContextsMissing(FeatureMissing):
    """The image runs no code of this language in contexts: it needs IPython, as the template
    `code-interpreter` has it."""

    title = N_("This sandbox's image cannot run code of this language in contexts")


class SnapshotsMissing(FeatureMissing):
    """What a snapshot needs is not there: a disk of its own for the sandbox."""

    title = N_("There are no snapshots of such sandboxes on this host")


class TemplateNotFound(ClientFault):
    """There is no template of this name."""

    code = "template_not_found"
    title = N_("No such template is known")


class TemplateNameTaken(NameTaken):
    title = N_("Another template has this name")


class TooManyTemplates(ClientFault):
    """There are as many templates as there may be (`SANDBOX_MAX_TEMPLATES`), or as many are being
    built."""

    code = "too_many_templates"
    title = N_("There are as many templates as there may be")


class TemplateTooLarge(ClientFault):
    """The image, or what an instruction has written, is larger than a template may be
    (`SANDBOX_TEMPLATE_MB`)."""

    code = "template_too_large"
    title = N_("The template is larger than it may be")


class BadTemplate(ClientFault):
    """The context of a template is no tar archive with a `Dockerfile`, or needs what is not on the
    engine's host: another base, or something from the network."""

    code = "bad_template"
    title = N_("This template cannot be built here")


class BuildFailed(ClientFault):
    """An instruction of the template's Dockerfile did not succeed. `detail` is what the builder
    said at the end."""

    code = "build_failed"
    title = N_("The template could not be built")


class BuildTimeout(BuildFailed):
    """The build of a template took longer than it may (`SANDBOX_TEMPLATE_TIMEOUT`)."""

    code = "build_timeout"
    title = N_("Building the template took too long")


class PathError(ClientFault):
    pass


class PathNotFound(PathError):
    """There is nothing at this path in the sandbox."""

    code = "path_not_found"
    title = N_("There is nothing at this path")


class PermissionDenied(PathError):
    """The sandbox's user may not do that there."""

    code = "permission_denied"
    title = N_("The sandbox's user may not do that there")


class BadPath(PathError):
    """The path is empty or missing, longer than 4,096 bytes, has a zero byte or a part that is too
    long, or is a loop of links."""

    code = "bad_path"
    title = N_("This is not a path")


class IsDirectory(PathError):
    """A file is needed, and there is a directory."""

    code = "is_directory"
    title = N_("There is a directory at this path")


class NotDirectory(PathError):
    """A directory is needed, and there is something else."""

    code = "not_directory"
    title = N_("What is at this path is not a directory")


class NotEmpty(PathError):
    """The directory is not empty, and `recursive` was not asked for."""

    code = "not_empty"
    title = N_("The directory is not empty")


class AlreadyExists(PathError):
    """There is something at the path already."""

    code = "already_exists"
    title = N_("There is something at this path already")


class NotAFile(PathError):
    """A FIFO, a device or a socket, which are neither read nor written here."""

    code = "not_a_file"
    title = N_("What is at this path is not a regular file")


class Changed(PathError):
    """`If-Match` or `If-None-Match` does not fit: the file is not as the client knows it."""

    code = "changed"
    title = N_("The file is not as the condition wants it")


class TooLarge(PathError):
    """An archive has more bytes or entries than it may (`SANDBOX_ARCHIVE_MB`,
    `SANDBOX_ARCHIVE_ENTRIES`), or a file is larger than its file system allows."""

    code = "too_large"
    title = N_("It is larger than it may be")


class BadRange(ClientFault):
    """The file has no such part (`Range`)."""

    code = "bad_range"
    title = N_("The file has no such part")


class BadArchive(ClientFault):
    """It is no tar archive, or a member would write beside the target: nothing was unpacked."""

    code = "bad_archive"
    title = N_("The archive cannot be unpacked; nothing of it was")


class BadMetadata(ClientFault):
    """A key of a file's metadata has more than 246 bytes, or all of it more than 4,096, or it is
    not printable ASCII, or the file system keeps none."""

    code = "bad_metadata"
    title = N_("A file cannot have this metadata")


class TooManyWatches(ClientFault):
    """The sandbox is watched as often as it may be."""

    code = "too_many_watches"
    title = N_("This sandbox's files are watched as often as they may be")


class WatchNotFound(ClientFault):
    """There is no such watch, or nobody has asked it for an hour."""

    code = "watch_not_found"
    title = N_("No such watch is known")


class HostFault(GatewayError):
    """The host cannot do it at the moment."""

    code = "host_fault"
    title = N_("The host cannot serve the request at the moment")


class EngineFault(HostFault):
    """The engine refused."""

    code = "engine_failed"
    title = N_("The container engine failed")


class EngineUnavailable(EngineFault):
    """Nobody answers at the engine's address."""

    code = "engine_unavailable"
    title = N_("The container engine cannot be reached")


class EngineTimeout(EngineFault):
    """The engine did not answer in time. A `DELETE` goes on by itself."""

    code = "engine_timeout"
    title = N_("The container engine did not answer in time")


class EngineRefused(EngineFault):
    pass


class ContainerGone(EngineFault):
    """The container is not running any more."""

    code = "container_gone"
    title = N_("The sandbox's container is not running")


class ImageMissing(EngineFault):
    """The image of the sandboxes does not exist."""

    code = "image_missing"
    title = N_("The sandbox image is missing")


class CapacityExhausted(HostFault):
    """The host is full, and the wait was in vain."""

    code = "capacity_exhausted"
    title = N_("There is no room for another sandbox at the moment")


class GatewayFull(HostFault):
    """The answers and messages of all clients hold all that a worker may hold for them
    (`SANDBOX_HELD_OUTPUT_MB`, `SANDBOX_HELD_INPUT_MB`). Commands go on."""

    code = "gateway_full"
    title = N_("The gateway holds as much for its clients as it may; commands go on")


class StoreUnavailable(HostFault):
    """The data directory cannot be used."""

    code = "store_unavailable"
    title = N_("The gateway's store cannot be used at the moment")


class StoreTooNew(StoreUnavailable):
    """Ends a start: no client sees it."""


class DiskFull(HostFault):
    """The engine's disk is nearly full (`SANDBOX_DISK_FLOOR_MB`)."""

    code = "disk_full"
    title = N_("The host has too little disk space left")


class HostToolFailed(HostFault):
    """The host could not give the sandbox its disk, its user or its packet filter rules."""

    code = "host_tool_failed"
    title = N_("The host could not prepare what a sandbox needs")


class GatewayStopping(HostFault):
    """The gateway is being stopped. Commands go on."""

    code = "gateway_stopping"
    title = N_("The gateway is stopping; commands go on")


class NotReady(HostFault):
    """Only from `/readyz`: something that sandboxes need does not work. For operators `checks`
    names it.

    `checks` say what works and what does not, by name, as the model `Check`; `posture` likewise,
    as `PostureCheck`. Both for operators only.
    """

    code = "not_ready"
    title = N_("The gateway is not ready")

    def __init__(
        self,
        detail: str = "",
        checks: Mapping[str, object] | None = None,
        posture: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        if checks is not None:
            self.members["checks"] = dict(checks)
        if posture is not None:
            self.members["posture"] = dict(posture)


class FileFault(GatewayError):
    """The sandbox's disk has answered with an error that no other code tells."""

    code = "file_failed"
    title = N_("The sandbox's disk has failed")


class FileFailed(FileFault):
    pass


class NoSpace(FileFault):
    """The sandbox's disk is full. What was there before still stands."""

    code = "no_space"
    title = N_("The sandbox's disk is full; what was there before still stands")


class FileTimeout(FileFault):
    """The sandbox's disk does not answer."""

    code = "file_timeout"
    title = N_("The sandbox's disk does not answer")


class SandboxFault(GatewayError):
    """The sandbox does not answer."""

    code = "sandbox_fault"
    title = N_("The sandbox does not answer")


class AgentMissing(SandboxFault):
    """The image of the sandbox cannot run the agent."""

    code = "agent_missing"
    title = N_("The image of this sandbox cannot run the agent")


class AgentUnavailable(SandboxFault):
    """The sandbox's agent could not be reached or started."""

    code = "agent_unavailable"
    title = N_("The sandbox's agent cannot be reached")


class LinkLost(SandboxFault):
    """The connection into the sandbox broke before the answer came. The command may be running."""

    code = "link_lost"
    title = N_("The connection into the sandbox broke")


class ProtocolBroken(LinkLost):
    pass


class PortClosed(SandboxFault):
    """No server in the sandbox listens on the port. `listening` are the ports that are open."""

    code = "port_closed"
    title = N_("Nothing listens on this port of the sandbox")

    def __init__(self, detail: str = "", listening: Sequence[int] | None = None) -> None:
        super().__init__(detail)
        if listening is not None:
            self.members["listening"] = list(listening)


class PortFailed(SandboxFault):
    """The server in the sandbox ended the connection without an answer, was silent for longer than
    `SANDBOX_PORT_IDLE_TIMEOUT`, or what it sent is not HTTP."""

    code = "port_failed"
    title = N_("The server in the sandbox did not answer as HTTP demands")


class CommandLost(SandboxFault):
    """The end of the command cannot be known any more, for example after `kill -9 -1` in the
    sandbox."""

    code = "command_lost"
    title = N_("The end of the command can no longer be known")
