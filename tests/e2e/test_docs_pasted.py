"""The examples of the README and of docs/, pasted page by page from top to bottom as a reader does.

The READMEs in other languages have the same code (`tests/unit/test_readmes.py`).
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support.clients import connect
from tests.support.gateway_process import ROOT, GatewayProcess
from tests.support.markdown import Page
from tests.support.pasted import Example, Shell, each_pasted, examples_in, missing_from
from tests.support.sgw import installed

LEFT_OUT = {
    "./start.sh            #": "the gateway runs already",
    "./scripts/test.sh": "this test is part of it",
    "SANDBOX_WORKERS=4 .venv/bin/gunicorn": "another gateway, on the reader's port",
    "./start.sh --stop-all": "it would end the reader's own gateway",
    "./scripts/build_image.sh": "it takes a registry",
    "python3 -m venv client && client/bin/pip install --quiet .": "test_client_wheel.py does it",
    "uv tool install .": "the same by another program",
}
"""Beginnings of examples that a test cannot paste, and why."""

PAGES = {
    "README.md": 6,
    "docs/api.md": 30,
    "docs/client.md": 6,
    "docs/operation.md": 3,
    "docs/sgw.md": 6,
    "docs/websocket.md": 7,
}
"""Pages with examples, and how many of them at least are pasted."""

READING_S = 4.0
"""How long a reader looks at something that goes on in the background before the next example."""

TERMINAL_WITHIN_S = 30.0


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PAGES)
def test_every_example_works_in_its_place(
    name: str,
    gateway: GatewayProcess,
    own_gateway: Callable[..., GatewayProcess],
    tmp_path: Path,
) -> None:
    """In one shell, whose variables stay; what each prints is what the page says. A reader who
    pastes everything never gets an error that is not shown."""
    examples = examples_in((ROOT / name).read_text(encoding="utf-8"))
    reader = _Reader(gateway, own_gateway, tmp_path)
    try:
        wrong = each_pasted(examples, reader.paste)
    finally:
        reader.close()

    shown = [f"--- pasted\n{example.code}--- printed\n{text}" for example, text in wrong]
    assert not wrong, "\n".join(shown)
    assert reader.pasted >= PAGES[name]
    assert reader.pasted + reader.left_out == len(examples)


def test_every_page_with_examples_is_pasted() -> None:
    """And whatever is left out is still there: a reason without an example is stale."""
    with_examples = {
        str(path.relative_to(ROOT)): examples
        for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"))
        if (examples := examples_in(path.read_text(encoding="utf-8")))
    }

    del with_examples["docs/e2b.md"]  # programs: tests/e2b/test_documented_programs.py runs them
    assert with_examples.keys() == PAGES.keys()
    codes = [example.code for examples in with_examples.values() for example in examples]
    for beginning in LEFT_OUT:
        assert any(code.startswith(beginning) for code in codes), beginning


def test_messages_are_answered_as_shown(gateway: GatewayProcess, sandbox: str) -> None:
    """The WebSocket's page shows commands as a client sends them, and below the frames that come
    back: a client that is written after it works."""
    pairs = list(_messages_and_answers(Page("docs/websocket.md").blocks))
    assert len(pairs) >= 4

    for messages, answers in pairs:
        with connect(gateway, sandbox) as connection:
            for message in messages:
                connection.client.send_text(message)
            frames = [connection.client.receive_text() for _ in answers]
        assert missing_from("\n".join(frames), answers) is None, frames


def _messages_and_answers(
    blocks: list[tuple[str, str]],
) -> Iterator[tuple[list[str], list[str]]]:
    """Each block of commands, and the lines of the block after it."""
    for (language, code), (next_language, answers) in pairwise(blocks):
        if language == next_language == "json":
            messages = code.splitlines()
            if all({"command"} <= _keys(line) and "returncode" not in line for line in messages):
                yield messages, answers.splitlines()


def _keys(line: str) -> set[str]:
    message = json.loads(line)
    return set(message) if isinstance(message, dict) else set()


class _Reader:
    """Has a clone in front of them, a terminal in it, and a gateway on port 8003."""

    def __init__(
        self,
        gateway: GatewayProcess,
        own_gateway: Callable[..., GatewayProcess],
        directory: Path,
    ) -> None:
        self._own_gateway = own_gateway
        self._gateway = gateway
        self._there_before = set(self._sandbox_ids())
        self._clone = directory / "clone"
        self._clone.mkdir()
        for name in ("scripts", "gateway", ".venv"):
            if (ROOT / name).exists():
                (self._clone / name).symlink_to(ROOT / name)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SANDBOX_")}
        # `sgw` has the reader's port as its default.
        environment |= {"GATEWAY_URL": self._gateway.url} | installed(directory)
        self._shell = Shell(self._clone, environment)
        self.pasted = 0
        self.left_out = 0

    def close(self) -> None:
        """Leave the gateway as it was."""
        self._shell.close()
        for sandbox_id in self._sandbox_ids():
            if sandbox_id not in self._there_before:
                self._gateway.delete(f"/sandboxes/{sandbox_id}")

    def _sandbox_ids(self) -> list[str]:
        return [sandbox["sandbox_id"] for sandbox in self._gateway.get("/sandboxes").json()]

    def paste(self, example: Example) -> str | None:
        for beginning in LEFT_OUT:
            if example.code.startswith(beginning):
                self.left_out += 1
                return None
        self.pasted += 1
        if "SANDBOX_API_KEYS_FILE" in example.code:
            return self._paste_keys(example.code)
        if example.language == "python":
            return self._run_python(example.code)
        if example.language == "javascript":
            return self._run_javascript(example.code)
        printed = self._shell.paste(self._here(example.code))
        if '"background": true' in example.code:
            time.sleep(READING_S)
        return printed

    def _here(self, code: str) -> str:
        return code.replace("localhost:8003", f"127.0.0.1:{self._gateway.port}")

    def _run_python(self, code: str) -> str:
        """As the pages say: saved, and run with the id, and where it takes one a name."""
        script = self._clone / "example.py"
        script.write_text(self._here(code))
        sandbox_id = self._shell.paste("echo $ID").strip()
        if "tty.setraw" in code:
            return _in_a_terminal([self._python(), str(script), sandbox_id, "main"])
        return self._shell.paste(f"{self._python()} example.py {sandbox_id}")

    def _run_javascript(self, code: str) -> str:
        script = self._clone / "example.mjs"
        script.write_text(self._here(code))
        return self._shell.paste("node example.mjs $ID")

    def _python(self) -> str:
        """The client's environment, from where the page makes one."""
        client = self._clone / "client" / "bin" / "python"
        return str(client) if client.exists() else sys.executable

    def _paste_keys(self, code: str) -> str:
        """A line after the other: the second is another terminal's."""
        make, start, use = code.splitlines()
        printed = self._shell.paste(make)
        key, line = _key_and_line(printed)
        keys = self._clone / "keys"
        keys.write_text(f"{line}\n")
        settings = dict(re.findall(r"SANDBOX_(\w+)=(\S+)", start))
        assert settings.keys() == {"API_KEYS_FILE", "HOST"}
        gateway = self._own_gateway(api_keys_file=str(keys), host=settings["HOST"])
        gateway.headers = {"Authorization": f"Bearer {key}"}
        gateway.start_ready()
        here = use.replace("localhost:8003", f"127.0.0.1:{gateway.port}")
        return self._shell.paste(f"GATEWAY_KEY={key}\n{here}")


def _key_and_line(printed: str) -> tuple[str, str]:
    key = re.search(r"sgk_\S+", printed)
    line = re.search(r"ci sha256:\S+", printed)
    assert key is not None, printed
    assert line is not None, printed
    return key[0], line[0]


def _in_a_terminal(words: list[str]) -> str:
    """What is seen when somebody leaves the terminal by `exit`."""
    ours, theirs = pty.openpty()
    with closing(os.fdopen(ours, "r+b", buffering=0)) as screen:
        process = subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        ending = threading.Timer(TERMINAL_WITHIN_S, process.kill)
        ending.start()
        seen = b""
        try:
            while piece := screen.read(4096):
                seen += piece
                if seen.endswith(b"$ "):
                    screen.write(b"exit\r")
        except OSError:
            pass  # the other end is closed
        ending.cancel()
        assert process.wait() == 0, seen
        assert b'"returncode":0' in seen.replace(b" ", b""), seen
        return seen.decode(errors="replace")
