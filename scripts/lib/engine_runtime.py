"""Adds a runtime to the engine's configuration file and leaves all else in it as it is.

    engine_runtime.py FILE NAME PATH [ARGUMENT…]

Prints `changed` or `unchanged`. The file is replaced in one step, keeps its mode, and is not
touched when it is no JSON object. Standard library only.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any


def with_runtime(
    configuration: dict[str, Any], name: str, path: str, arguments: list[str]
) -> dict[str, Any]:
    """The configuration with the runtime, in the place of one of the same name."""
    runtimes = {**configuration.get("runtimes", {})}
    runtimes[name] = {"path": path, "runtimeArgs": arguments}
    return {**configuration, "runtimes": runtimes}


def read(file: Path) -> dict[str, Any]:
    """Raises ValueError when it holds anything but an object. A missing file is an empty one."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    found = json.loads(text) if text.strip() else {}
    if not isinstance(found, dict) or not isinstance(found.get("runtimes", {}), dict):
        raise ValueError("not an object")
    return found


def write(file: Path, configuration: dict[str, Any]) -> None:
    """In one step: an engine that reads meanwhile sees the old or the new one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o644
    handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with os.fdopen(handle, "w", encoding="utf-8") as draft:
        draft.write(json.dumps(configuration, indent=2, ensure_ascii=False) + "\n")
        os.fchmod(draft.fileno(), mode)
    os.replace(name, file)


def main() -> int:
    """The exit status."""
    file, (name, path, *arguments) = Path(os.path.realpath(sys.argv[1])), sys.argv[2:]
    try:
        before = read(file)
    except ValueError as error:
        print(f"{file} is no configuration of an engine: {error}", file=sys.stderr)
        return 1
    after = with_runtime(before, name, path, arguments)
    if after == before:
        print("unchanged")
        return 0
    write(file, after)
    print("changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
