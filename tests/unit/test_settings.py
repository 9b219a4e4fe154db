"""Configuration fails loudly, in one line, with the variable's name and the bad value."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import SettingsError
from gateway.settings import MIB, load_settings
from tests.support.keys import ALICE, INLINE

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("SANDBOX_"):
            monkeypatch.delenv(name)


def test_defaults_are_those_of_the_contract() -> None:
    """Port 8003, an hour of idle time, 8 MiB of output; loopback only, as nobody has a key."""
    settings = load_settings()

    assert (settings.host, settings.port) == ("127.0.0.1", 8003)
    assert settings.idle_timeout == 3600
    assert settings.max_output_bytes == 8 * MIB
    assert settings.image == "sandbox-websocket-image"


def test_a_template_of_the_gateways_own_is_pooled_by_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The pool knows images; operators say what clients say."""
    monkeypatch.setenv("SANDBOX_TEMPLATES", "code-interpreter")
    monkeypatch.setenv("SANDBOX_POOL_IMAGES", "code-interpreter,other@strict")

    settings = load_settings()

    assert settings.own_templates == {"code-interpreter": "sandbox-code-interpreter"}
    assert [image for image, _ in settings.pooled] == ["sandbox-code-interpreter", "other"]


WRONG = {
    "SANDBOX_TEMPLATES": ["data-science", "code-interpreter,x"],
    "SANDBOX_MAX_CONTEXTS": ["0", "many"],
    "SANDBOX_PORT": ["0", "65536", "-1", "http", "", "8003x", "1.5"],
    "SANDBOX_WORKERS": ["0", "many", "1000"],
    "SANDBOX_IDLE_TIMEOUT": ["0", "-5", "soon", "nan", "inf"],
    "SANDBOX_MEMORY_MB": ["1", "1g"],
    "SANDBOX_CPUS": ["0", "nan", "inf"],
    "SANDBOX_PIDS": ["0", "x"],
    "SANDBOX_FILE_SIZE_MB": ["0"],
    "SANDBOX_MAX_OUTPUT_MB": ["0", "17"],
    "SANDBOX_MAX_MESSAGE_KB": ["0"],
    "SANDBOX_PING_INTERVAL": ["0", "nan"],
    "SANDBOX_ENGINE_TIMEOUT": ["0", "nan"],
    "SANDBOX_LOG_LEVEL": ["loud", ""],
    "SANDBOX_NETWORK": ["host", "container:abc", "a b", "../x", ""],
    "SANDBOX_DISK_MB": ["0", "15", "8g"],
    "SANDBOX_DISK_FLOOR_MB": ["-1", "some"],
    "SANDBOX_EGRESS": ["", "some"],
    "SANDBOX_UIDS": [
        "1000-2000",
        "0-9",
        "70000",
        "9-8",
        "2000-1999",
        "60000-70000",
        "2000-2147483648",
    ],
    "SANDBOX_EGRESS_DOMAINS": ["*", "10.0.0.1", "PyPI.org", "*.1", "a b.org", "https://pypi.org"],
    "SANDBOX_EGRESS_PROXY_PORT": ["0", "65536"],
    "SANDBOX_EGRESS_ALLOW": ["10.0.0.1/8", "example.org", "10.0.0.0/33"],
    "SANDBOX_INSTANCE": ["With Spaces", "ä", "a" * 64],
    "SANDBOX_IMAGE": [""],
    "SANDBOX_HOST": ["", "0.0.0.0", "::", "192.0.2.1", "gateway.example"],
    "SANDBOX_TOKEN_TTL": ["0", "nan", "soon"],
    "SANDBOX_PUBLIC_HOSTS": ["http://x", "a b", "*", "x,/y", "x:80"],
    "SANDBOX_CORS_ORIGINS": ["*", "example.com", "https://x/", "https://x, y", "https://x:port"],
    "SANDBOX_INSECURE": ["maybe"],
    "SANDBOX_AUDIT_LOG": [""],
    "SANDBOX_AUDIT_LOG_MB": ["-1", "x"],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_value_is_named_in_one_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """The operator sees which variable, which value and why, not a traceback of a library."""
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError) as raised:
        load_settings()

    message = str(raised.value)
    assert "\n" not in message
    assert f"{name}={value}" in message
    assert "pydantic" not in message


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_a_loopback_address_needs_no_key(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Whoever is on this machine may use a gateway without keys."""
    monkeypatch.setenv("SANDBOX_HOST", host)

    assert load_settings().host == host


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SANDBOX_API_KEYS", INLINE),
        ("SANDBOX_API_KEYS_FILE", "/etc/keys"),
        ("SANDBOX_INSECURE", "1"),
    ],
)
def test_another_address_takes_keys_or_a_decision(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    """Either nobody comes in without a key, or the operator has said that everybody may."""
    monkeypatch.setenv("SANDBOX_HOST", "0.0.0.0")
    monkeypatch.setenv(variable, value)

    assert load_settings().host == "0.0.0.0"


def test_all_origins_take_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without, any page that somebody opens could use the gateway on their machine."""
    monkeypatch.setenv("SANDBOX_CORS_ORIGINS", "*")
    monkeypatch.setenv("SANDBOX_API_KEYS", INLINE)

    assert load_settings().origins == {"*"}


def test_keys_are_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings end up in logs and tracebacks."""
    monkeypatch.setenv("SANDBOX_API_KEYS", INLINE)

    settings = load_settings()

    assert (
        ALICE not in f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"
    )


def test_settings_cannot_be_changed() -> None:
    """Read once; every part sees the same."""
    settings = load_settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1


def test_the_instance_follows_the_data_directory(tmp_path: Path) -> None:
    """The same directory by another path is the same gateway; another directory is another."""
    real, link = tmp_path / "real", tmp_path / "link"
    real.mkdir()
    link.symlink_to(real)

    instance = load_settings(data_dir=real).instance_id

    assert load_settings(data_dir=link).instance_id == instance
    assert load_settings(data_dir=tmp_path / "other").instance_id != instance
    assert load_settings(data_dir=real, instance="mine").instance_id == "mine"


@pytest.mark.long
def test_a_start_with_a_wrong_value_ends_with_that_line(tmp_path: Path) -> None:
    """What the operator really sees: gunicorn ends, and the line is there."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "gunicorn",
            "--config",
            "python:gateway.server.gunicorn_config",
            "wsgi:app",
        ],
        cwd=ROOT,
        env={**os.environ, "SANDBOX_PORT": "http", "SANDBOX_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=30,
    )

    assert done.returncode != 0
    assert "SANDBOX_PORT=http" in done.stderr


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "environment", "said"),
    [
        ([], {"SANDBOX_HOST": "0.0.0.0"}, "SANDBOX_HOST=0.0.0.0 is wrong"),
        (["--bind", "0.0.0.0:0"], {}, "SANDBOX_HOST=0.0.0.0 is wrong"),
        ([], {"SANDBOX_API_KEYS": "alice:hunter2"}, "SANDBOX_API_KEYS is wrong"),
        ([], {"SANDBOX_API_KEYS_FILE": "/nowhere"}, "SANDBOX_API_KEYS_FILE=/nowhere is wrong"),
        ([], {"SANDBOX_AUDIT_LOG": "/proc/audit"}, "SANDBOX_AUDIT_LOG=/proc/audit is wrong"),
    ],
)
def test_what_would_be_unsafe_does_not_start(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], said: str
) -> None:
    """An open port without keys, also by gunicorn's own option, and keys that cannot be read."""
    done = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "gunicorn",
                "--config",
                "python:gateway.server.gunicorn_config",
            ),
            *(*arguments, "wsgi:app"),
        ],
        cwd=ROOT,
        env={
            **{n: v for n, v in os.environ.items() if not n.startswith("SANDBOX_")},
            "SANDBOX_DATA_DIR": str(tmp_path),
            "SANDBOX_PORT": str(_free_port()),
            **environment,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode != 0
    assert len([line for line in done.stderr.splitlines() if said in line]) == 1
    assert "failed to boot" not in done.stderr
    assert "hunter2" not in done.stderr
    assert "Listening" not in done.stderr or not arguments


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
