"""Several files in one request: `multipart/form-data`."""

from __future__ import annotations

import os
from typing import Any

import pytest
import requests

from tests.support.files import SandboxFiles, code_of
from tests.support.gateway_process import GatewayProcess


@pytest.fixture(scope="module")
def files(shared_gateway: GatewayProcess, module_sandbox: str) -> SandboxFiles:
    return SandboxFiles(shared_gateway, module_sandbox)


def post(files: SandboxFiles, directory: str, named: dict[str, bytes]) -> requests.Response:
    parts = [("file", (name, content)) for name, content in named.items()]
    return files.gateway.post(files.address(directory), files=parts)


def test_each_file_is_written_below_the_path(files: SandboxFiles) -> None:
    """Small and large ones, in directories that are made, in the order of the body."""
    named = {
        "a.txt": b"a",
        "sub/dir/b.bin": os.urandom(2_000_000),
        "empty": b"",
        "größe ☃ \"q'": b"name",
        "sub/c": os.urandom(65_536),
        "with-crlf": b"\r\n--\r\n\r\n",
    }

    answer = post(files, "several/here", named)

    assert answer.status_code == 201, answer.text
    assert [entry["size"] for entry in answer.json()] == [len(c) for c in named.values()]
    written = {entry["path"]: files.read(entry["path"]) for entry in answer.json()}
    assert list(written.values()) == list(named.values())
    assert next(iter(written)) == "/home/user/several/here/a.txt"
    assert answer.json()[1]["mode"] == "0644"


def test_a_hundred_files_in_one_request(files: SandboxFiles) -> None:
    """All are there, and again when they are replaced."""
    named = {f"{number:03}": os.urandom(1000) for number in range(100)}

    for _ in range(2):
        answer = post(files, "hundred", named)
        assert answer.status_code == 201
        assert len(answer.json()) == 100

    assert files.names("hundred") == [f"/home/user/hundred/{name}" for name in named]
    assert files.read("hundred/042") == named["042"]


@pytest.mark.parametrize("name", ["../out", "/tmp/out", "a/../../out", "x" * 256, ""])
def test_a_name_that_leads_elsewhere_is_refused(files: SandboxFiles, name: str) -> None:
    """A form cannot write beside the directory that the caller has named."""
    answer = files.gateway.post(
        files.address("inside"),
        data=(
            f'--b\r\nContent-Disposition: form-data; name="f"; filename="{name}"\r\n\r\n'
            "content\r\n--b--\r\n"
        ),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )

    assert code_of(answer, 422) == "bad_path"
    assert files.get("/tmp/out", "/stat").status_code == 404


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{}", {"Content-Type": "application/json"}, 415),
        (b"", {"Content-Type": "multipart/form-data"}, 415),
        (b"--b\r\n\r\n", {}, 400),
        (b"no boundary at all", {}, 400),
        (b"--b\r\n" + b"X" * 100_000, {}, 400),
        (b'--b\r\nContent-Disposition: form-data; name="f"\r\n\r\nv\r\n--b--', {}, 400),
        (b'--b\r\nContent-Disposition: form-data; filename="f"\r\n\r\nv', {}, 400),
    ],
)
def test_a_body_that_is_none_is_refused(
    files: SandboxFiles, body: bytes, headers: dict[str, Any], status: int
) -> None:
    """With a problem document, and nothing is written."""
    headers = headers or {"Content-Type": "multipart/form-data; boundary=b"}

    answer = files.gateway.post(files.address("refused"), data=body, headers=headers)

    assert code_of(answer, status) in ("bad_request", "unsupported_media_type")
    assert files.get("refused", "/stat").status_code == 404
