"""What making the sandbox image needs of the engine: pull, import and build, by the docker SDK.

Works without a command-line client, and on remote engines. Every step prints lines as it goes.
The build uses the engine's classic builder, which every engine has without plug-ins.
"""

from __future__ import annotations

import argparse
import io
import os
import queue
import sys
import tarfile
import threading
from collections.abc import Iterator
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound

import image_inputs

FAILED = 1
NO_REGISTRY = 3

FIRST_ANSWER_S = 8
"""How long a registry may take to say anything. Where there is no way out, names often do not even
fail to resolve, and the engine itself would go on for minutes."""

SILENCE_S = 90
"""How long a pull that has begun may stay silent."""

_PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy")


def pull(api: docker.APIClient, base: str) -> int:
    """Fetch `base`, or settle for the one that is here already."""
    failure = _pull(api, base)
    if failure is None:
        return 0
    print(f"{base} was not pulled: {failure}")
    try:
        api.inspect_image(base)
    except ImageNotFound:
        return NO_REGISTRY
    print(f"using the {base} that this engine has")
    return 0


def _pull(api: docker.APIClient, base: str) -> str | None:
    """None, or in words why the pull failed. Leaves a hanging pull behind for the exit to cut."""
    events: queue.Queue[dict[str, Any] | Exception | None] = queue.Queue()
    name, tag = _split(base)

    def follow() -> None:
        try:
            for event in api.pull(name, tag=tag, stream=True, decode=True):
                events.put(event)
            events.put(None)
        except Exception as error:  # noqa: BLE001  # the waiting side reports it
            events.put(error)

    threading.Thread(target=follow, daemon=True).start()
    patience = FIRST_ANSWER_S
    while True:
        try:
            event = events.get(timeout=patience)
        except queue.Empty:
            return f"no answer from the registry within {patience} s"
        if event is None:
            return None
        if isinstance(event, Exception):
            return _one_line(event)
        if "error" in event:
            return _one_line(event["error"])
        patience = SILENCE_S
        print(" ".join(filter(None, (event.get("status"), event.get("progress")))), flush=True)


def _split(name: str) -> tuple[str, str]:
    """`host:5000/name:tag` → (`host:5000/name`, `tag`)."""
    if "@" in name:
        repository, _, digest = name.partition("@")
        return repository, digest
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, "latest")


def has(api: docker.APIClient, tag: str) -> int:
    """0 when there is an image of this name."""
    try:
        api.inspect_image(tag)
    except ImageNotFound:
        return FAILED
    return 0


def has_base(api: docker.APIClient, tag: str, template: str) -> int:
    """0 when the self-made base is here and its inputs have not changed since."""
    try:
        labels = api.inspect_image(tag)["Config"].get("Labels") or {}
    except ImageNotFound:
        return FAILED
    return (
        0 if labels.get(image_inputs.BASE_LABEL) == image_inputs.base_digest(template) else FAILED
    )


def import_base(api: docker.APIClient, tag: str, archive: str, template: str) -> int:
    """Make the root filesystem in the tar file `archive` an image."""
    name, version = _split(tag)
    answer = api.import_image_from_file(
        archive,
        repository=name,
        tag=version,
        changes=[f"LABEL {image_inputs.BASE_LABEL}={image_inputs.base_digest(template)}"],
    )
    if '"error"' in answer:
        print(answer)
        return FAILED
    print(f"imported {tag}")
    return 0


def build(
    api: docker.APIClient, base: str, tag: str, template: str, *, offline: bool, fresh: bool
) -> int:
    """Build scripts/image, or a template of it, on `base`."""
    arguments = {"BASE": base, "INPUTS": image_inputs.digest(template)}
    if not offline:
        for name in _PROXY_VARIABLES:
            value = os.environ.get(name) or os.environ.get(name.upper())
            if value:
                arguments[name] = value
    events = api.build(
        fileobj=_context(template),
        custom_context=True,
        tag=tag,
        buildargs=arguments,
        network_mode="none" if offline else None,
        nocache=fresh,
        rm=True,
        forcerm=True,
        decode=True,
    )
    return _print_build(events)


def _context(template: str) -> io.BytesIO:
    """As a tar that is the same for the same content, so that layers are reused."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in sorted(image_inputs.context(template).items()):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))
    content.seek(0)
    return content


def _print_build(events: Iterator[dict[str, Any]]) -> int:
    for event in events:
        if "error" in event:
            print(event["error"])
            return FAILED
        text = str(event.get("stream", "")).strip()
        if text:
            print(text, flush=True)
    return 0


def _one_line(error: object) -> str:
    text = error.explanation if isinstance(error, APIError) and error.explanation else error
    return " ".join(str(text).split())[:300]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--template", default="", choices=["", *image_inputs.templates()])
    steps = parser.add_subparsers(dest="step", required=True)
    step = steps.add_parser("pull")
    step.add_argument("base")
    step = steps.add_parser("has-base")
    step.add_argument("tag")
    step = steps.add_parser("import-base")
    step.add_argument("tag")
    step.add_argument("archive")
    step = steps.add_parser("build")
    step.add_argument("base")
    step.add_argument("tag")
    step.add_argument("--offline", action="store_true", help="no network inside the build")
    step.add_argument("--fresh", action="store_true", help="reuse no layer")
    steps.add_parser("packages")
    step = steps.add_parser("has")
    step.add_argument("tag")
    chosen = parser.parse_args()
    template = chosen.template
    if chosen.step == "packages":
        print(",".join(image_inputs.packages(template)))
        return 0

    try:
        # Between two lines of a build there may be minutes of silence.
        api = docker.from_env(timeout=900).api
        if chosen.step == "pull":
            return pull(api, chosen.base)
        if chosen.step == "has":
            return has(api, chosen.tag)
        if chosen.step == "has-base":
            return has_base(api, chosen.tag, template)
        if chosen.step == "import-base":
            return import_base(api, chosen.tag, chosen.archive, template)
        return build(
            api, chosen.base, chosen.tag, template, offline=chosen.offline, fresh=chosen.fresh
        )
    except (DockerException, OSError) as error:
        print(_one_line(error))
        return FAILED


if __name__ == "__main__":
    sys.exit(main())
