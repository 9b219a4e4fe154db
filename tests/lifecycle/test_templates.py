"""Templates: images that operators build, from outside, on the real engine."""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Iterator
from contextlib import suppress

import docker
import pytest
import requests

from gateway.sandboxes.snapshots.host_side import SnapshotNames
from gateway.sandboxes.templates.keeping import BUILD
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.problems import problem_of
from tests.support.rest_commands import result_of

OPERATOR, ALICE = (f"sgk_{letter * 43}" for letter in "oa")
IMAGE = "sandbox-websocket-image"
TAR = {"Content-Type": "application/x-tar"}

WITHIN_S = 40.0
"""The housekeeper compares engine and store every ten seconds."""


@pytest.fixture(scope="module")
def building(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("building"),
        api_keys=f"op:{OPERATOR},alice:{ALICE}",
        operators="op",
        network="none",
        max_templates="2",
        template_context_mb="1",
        template_mb="2048",
        template_timeout="15",
    )
    gateway.headers = {"X-API-Key": OPERATOR}
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()
        for image in Remains(gateway).images():
            with suppress(docker.errors.APIError):
                gateway.engine.api.remove_image(image, force=True)


class Remains:
    """What the engine has of a gateway's builds."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._names = SnapshotNames(gateway.instance)
        self._api = docker.APIClient(version="auto")

    def images(self) -> list[str]:
        found = self._api.images(filters={"label": BUILD}, all=True)
        return [one["Id"] for one in found if self._is_ours(one["Labels"])]

    def containers(self) -> list[str]:
        found = self._api.containers(all=True, filters={"label": BUILD})
        return [one["Id"] for one in found if self._is_ours(one["Labels"])]

    def _is_ours(self, labels: dict[str, str]) -> bool:
        return bool(self._names.ids_among({labels[BUILD]}))


def context(dockerfile: str, **files: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in {**files, "Dockerfile": dockerfile.encode()}.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def build(gateway: GatewayProcess, name: str, body: bytes, **headers: str) -> requests.Response:
    return gateway.post(f"/templates?name={name}", data=body, headers={**TAR, **headers})


def events(answer: requests.Response) -> list[dict[str, object]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    lines = answer.text.splitlines()
    return [json.loads(line.removeprefix("data: ")) for line in lines if line.startswith("data: ")]


MADE = f"""FROM {IMAGE} AS made
USER root
RUN mkdir /opt/made && cat /proc/net/dev | grep -c : > /opt/made/interfaces
FROM {IMAGE}
USER root
COPY --from=made /opt/made /opt/made
COPY note /opt/made/note
RUN echo so far
"""


def test_a_template_is_built_used_and_deleted(building: GatewayProcess) -> None:
    """Its output comes as events; everybody may make sandboxes of it; it survives a restart, and is
    gone with its image, once no sandbox needs that. Nothing else is left of the build."""
    told = events(build(building, "made", context(MADE, note=b"hello")))
    *output, last = told
    text = "".join(str(one["text"]) for one in output)
    assert {one["type"] for one in output} == {"output"}
    assert "so far" in text
    assert last["type"] == "template"
    assert int(str(last["size_bytes"])) > 1_000_000
    template = {name: value for name, value in last.items() if name != "type"}
    alice = {"X-API-Key": ALICE}
    assert building.get("/templates", headers=alice).json() == [template]
    remains = Remains(building)
    assert remains.containers() == []

    building.kill()
    building.start_ready()
    assert building.get("/templates/made").json() == template
    answer = building.post("/sandboxes", json={"image": "made"}, headers=alice)
    assert answer.status_code == 201, answer.text
    box = answer.json()["sandbox_id"]
    building.headers = alice
    try:
        assert building.get(f"/sandboxes/{box}").json()["image"] == template["image"]
        result = result_of(
            building, box, "cat /opt/made/note; echo; cat /opt/made/interfaces; whoami"
        )
        # Its loopback, and nothing else.
        assert result["output"] == "hello\n1\nuser\n"
        problem = problem_of(building.delete("/templates/made"), 403)
        assert problem["code"] == "operators_only"
    finally:
        building.headers = {"X-API-Key": OPERATOR}

    assert building.delete("/templates/made").status_code == 204
    for answer in (building.get("/templates/made"), building.delete("/templates/made")):
        assert problem_of(answer, 404)["code"] == "template_not_found"
    refused = building.post("/sandboxes", json={"image": "made"}, headers=alice)
    assert problem_of(refused, 422)["code"] == "invalid_fields"
    building.headers = alice
    assert result_of(building, box, "cat /opt/made/note")["output"] == "hello"
    building.delete(f"/sandboxes/{box}")
    building.headers = {"X-API-Key": OPERATOR}
    eventually(lambda: remains.images() == [], within_s=WITHIN_S)


@pytest.mark.parametrize(
    ("name", "body", "headers", "status", "code"),
    [
        ("a", context(MADE), {"X-API-Key": ALICE}, 403, "operators_only"),
        ("a", context(MADE), {"X-API-Key": "sgk_" + "x" * 43}, 401, "unauthorized"),
        ("A", context(MADE), {}, 422, "invalid_fields"),
        (IMAGE, context(MADE), {}, 422, "bad_template"),
        ("a", context(MADE), {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        ("a", b"no archive", {}, 422, "bad_template"),
        ("a", context("FROM no-such-image:ever\n"), {}, 422, "bad_template"),
        ("a", context(f"FROM {IMAGE}\nADD http://127.0.0.1/x /x\n"), {}, 422, "bad_template"),
        ("a", context("FROM sandbox-gateway-snapshot:x\n"), {}, 422, "bad_template"),
        ("a", context(f"FROM {IMAGE}\n", big=b"x" * (1 << 20)), {}, 413, "too_large"),
    ],
)
def test_what_may_not_be_built_is_refused_before(
    building: GatewayProcess, name: str, body: bytes, headers: dict, status: int, code: str
) -> None:
    """By a status, and nothing is left of it."""
    assert problem_of(build(building, name, body, **headers), status)["code"] == code
    assert building.get("/templates").json() == []


@pytest.mark.parametrize(
    ("dockerfile", "code", "detail"),
    [
        (f"FROM {IMAGE}\nRUN echo first\nRUN exit 7\n", "build_failed", "code: 7"),
        (f"FROM {IMAGE}\nNONSENSE\n", "build_failed", "NONSENSE"),
        (f"FROM {IMAGE}\nRUN sleep 60\n", "build_timeout", "15 s"),
        (
            f"FROM {IMAGE}\nUSER 0\nRUN truncate -s 3G /big; sleep 60\n",
            "template_too_large",
            "",
        ),
    ],
)
def test_a_build_that_fails_says_so_and_leaves_nothing(
    building: GatewayProcess, dockerfile: str, code: str, detail: str
) -> None:
    """As the last event; images and containers in between are gone."""
    last = events(build(building, "failing", context(dockerfile)))[-1]
    assert (last["type"], last["code"]) == ("error", code), last
    assert detail in str(last["detail"])
    assert building.get("/templates").json() == []
    remains = Remains(building)
    eventually(lambda: remains.images() == remains.containers() == [], within_s=WITHIN_S)


def _begun(building: GatewayProcess, name: str, dockerfile: str) -> requests.Response:
    """The answer to a build whose last step is under way."""
    answer = requests.post(
        f"{building.url}/templates?name={name}",
        data=context(dockerfile),
        headers={**building.headers, **TAR},
        stream=True,
        timeout=60,
    )
    assert answer.status_code == 200
    remains = Remains(building)
    eventually(remains.containers, within_s=20)
    return answer


SLOW = f"FROM {IMAGE}\nRUN echo first\nRUN sleep 25\n"


@pytest.mark.parametrize("how", ["client", "kill"])
def test_what_is_broken_off_leaves_nothing(building: GatewayProcess, how: str) -> None:
    """By a client that leaves, or `kill -9` of the gateway, in the middle of a step."""
    answer = _begun(building, "slow", SLOW)
    assert problem_of(build(building, "slow", context(SLOW)), 409)["code"] == "name_taken"
    if how == "client":
        answer.close()
    else:
        building.kill()
        answer.close()
        building.start_ready()
    remains = Remains(building)
    began = time.monotonic()
    eventually(lambda: remains.images() == remains.containers() == [], within_s=WITHIN_S)
    print(f"gone after {time.monotonic() - began:.1f} s")
    assert building.get("/templates").json() == []
    # The name is free again.
    last = eventually(
        lambda: (
            events(build(building, "slow", context(f"FROM {IMAGE}\nRUN true\n")))[-1]
            if building.get("/templates").json() == []
            else None
        ),
        within_s=WITHIN_S,
    )
    assert last["type"] == "template", last
    assert building.delete("/templates/slow").status_code == 204
    eventually(lambda: remains.images() == [], within_s=WITHIN_S)


def test_there_are_no_more_than_may_be(building: GatewayProcess) -> None:
    """Their number is the operator's setting."""
    for name in ("one", "two"):
        assert events(build(building, name, context(f"FROM {IMAGE}\n")))[-1]["type"] == "template"
    problem = problem_of(build(building, "three", context(f"FROM {IMAGE}\n")), 429)
    assert problem["code"] == "too_many_templates"
    # One may build upon another, by what the engine calls it.
    image = building.get("/templates/one").json()["image"]
    assert building.delete("/templates/two").status_code == 204
    last = events(build(building, "three", context(f"FROM {image}\nRUN true\n")))[-1]
    assert last["type"] == "template", last
    for name in ("one", "three"):
        assert building.delete(f"/templates/{name}").status_code == 204
    eventually(lambda: Remains(building).images() == [], within_s=WITHIN_S)
