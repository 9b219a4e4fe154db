"""Which language a client gets."""

from __future__ import annotations

import time

import pytest
from flask import Flask
from flask.testing import FlaskClient

from gateway.errors import SandboxNotFound
from gateway.middleware import language
from tests.unit.api.rest.fakes import FakeSandbox, FakeSandboxes

CREATED = {
    "en": "Sandbox container created successfully",
    "it": "Container sandbox creato con successo",
    "zh": "沙箱容器已创建成功",
}
DELETED = {
    "en": "Sandbox a1 deleted successfully",
    "it": "Sandbox a1 eliminato con successo",
    "zh": "沙箱 a1 已成功删除",
}


@pytest.mark.parametrize(
    ("wanted", "language"),
    [
        ("it", "it"),
        ("it-IT", "it"),
        ("it_IT", "it"),
        ("IT-it", "it"),
        ("zh", "zh"),
        ("zh-CN", "zh"),
        ("zh-Hans", "zh"),
        ("zh-Hans-CN", "zh"),
        ("zh-TW", "zh"),
        ("en-GB", "en"),
        ("it-IT,it;q=0.9,en-US;q=0.8,en;q=0.7", "it"),
        ("it-IT,en;q=0.5", "it"),
        ("zh-CN;q=0.8, it;q=0.9", "it"),
        ("it;q=0.8, zh;q=0.9, en;q=0.1", "zh"),
        ("en, it", "en"),
        ("it, en", "it"),
        ("zh, it", "zh"),
        ("fr, de;q=0.9, it;q=0.1", "it"),
        ("fr", "en"),
        ("*", "en"),
        ("fr, *;q=0.5", "en"),
        ("it;q=0.3, *;q=0.5", "en"),
        ("it, *;q=0.5", "it"),
        ("en;q=0, it", "it"),
        ("en;q=0, *", "it"),
        ("it;q=0", "en"),
        ("it;q=0, zh;q=0.000", "en"),
        ("", "en"),
        (";;;,,,q=", "en"),
        ("it;q=abc", "en"),
        ("it;q=nan", "en"),
        ("it;q=inf", "en"),
        ("\xff\xfe\x00", "en"),
        ("../../../../etc/passwd", "en"),
        ("%(sandbox_id)s", "en"),
        ("it-" * 3000, "it"),
        ("ita", "en"),
        ("i", "en"),
        ("-it", "en"),
    ],
)
def test_the_language_is_what_the_client_likes_best(
    client: FlaskClient, wanted: str, language: str
) -> None:
    """Qualities count, regions do not, and garbage means English."""
    response = client.post("/sandboxes", headers={"Accept-Language": wanted})

    assert response.status_code == 201
    assert response.json["message"] == CREATED[language]
    assert response.headers["Content-Language"] == language
    assert "Accept-Language" in response.vary


@pytest.mark.parametrize("language", ["en", "it", "zh"])
def test_deleting_speaks_the_language(
    client: FlaskClient, sandboxes: FakeSandboxes, language: str
) -> None:
    """Word for word as the contract has it."""
    sandboxes.kept["a1"] = FakeSandbox("a1")

    response = client.delete("/sandboxes/a1", headers={"Accept-Language": language})

    assert response.json["message"] == DELETED[language]


def test_texts_are_utf_8_and_not_escaped(client: FlaskClient) -> None:
    """The contract says JSON in UTF-8."""
    response = client.post("/sandboxes", headers={"Accept-Language": "zh"})

    assert CREATED["zh"].encode() in response.data


def test_only_the_message_of_a_problem_is_localised(client: FlaskClient) -> None:
    """`title` and `detail` are for developers and stay comparable."""
    problem = client.get("/sandboxes/a1", headers={"Accept-Language": "it"}).json

    assert problem["message"] == "Sandbox a1 non trovato"
    assert problem["title"] == "Sandbox not found"
    assert problem["detail"] == "Sandbox a1 not found"


def test_problems_of_the_framework_are_localised_too(client: FlaskClient) -> None:
    """Unknown routes speak the language as well, and say so."""
    response = client.get("/nothing", headers={"Accept-Language": "zh-CN"})

    assert response.json["message"] == "此地址没有任何内容"
    assert response.headers["Content-Language"] == "zh"
    assert response.headers["Vary"] == "Accept-Language"


def test_answers_without_texts_do_not_vary(client: FlaskClient) -> None:
    """A `Vary` that is not needed only spoils caches."""
    response = client.get("/sandboxes", headers={"Accept-Language": "it"})

    assert "Content-Language" not in response.headers
    assert "Vary" not in response.headers


def test_texts_outlive_their_request(app: Flask) -> None:
    """A WebSocket's greenlets have no request context but answer in the language of the upgrade."""
    with app.test_request_context(headers={"Accept-Language": "it"}):
        texts = language.texts()

    assert texts.language == "it"
    assert texts.localised(SandboxNotFound("a1")) == "Sandbox a1 non trovato"


def test_without_a_request_it_is_english() -> None:
    """Housekeeping and logs have no client."""
    assert language.localised(SandboxNotFound("a1")) == "Sandbox a1 not found"


def test_a_header_of_thousands_of_languages_is_not_read_in_whole(app: Flask) -> None:
    """Whoever has no key sends it too; it took 13 ms. The first ones count."""
    many = "it," + ",".join(f"a{n}" for n in range(1500))
    client = FlaskClient(app)
    begun = time.process_time()
    for _ in range(50):
        response = client.get("/nothing", headers={"Accept-Language": many})

    assert response.headers["Content-Language"] == "it"
    assert (time.process_time() - begun) / 50 < 0.006
