"""gVisor, and the script that gives it to an engine that runs."""

from __future__ import annotations

import json
import subprocess

import docker

from tests.security.conftest import Place
from tests.support.gateway_process import ROOT
from tests.support.gvisor_engine import KEPT, GvisorEngine
from tests.support.rest_commands import result_of

SCRIPT = ROOT / "scripts/setup_gvisor.sh"


def test_the_script_adds_the_runtime_and_keeps_the_rest(own_engine: GvisorEngine) -> None:
    """An operator's configuration is not the script's to lose; the engine went on running."""
    found = json.loads(own_engine.configuration.read_text())
    runtime = found["runtimes"].pop("runsc")

    assert found == KEPT
    assert runtime["path"].endswith("/runsc")
    assert runtime["runtimeArgs"][0] in ("--network=sandbox", "--network=none")
    client = docker.APIClient(base_url=own_engine.address, version="auto")
    assert "runsc" in client.info()["Runtimes"]
    client.close()


def test_the_script_may_be_repeated(own_engine: GvisorEngine) -> None:
    """It says so and writes nothing."""
    before = own_engine.configuration.stat()
    said = subprocess.run(
        [
            *(str(SCRIPT), "--config", str(own_engine.configuration), "--host", own_engine.address),
            *("--pid", str(own_engine.configuration.with_name("docker.pid"))),
        ],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert said.returncode == 0, said.stderr
    assert "has it already" in said.stdout
    after = own_engine.configuration.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_broken_configuration_is_left_alone(own_engine: GvisorEngine) -> None:
    """Rather no runtime than an engine that does not start any more."""
    broken = own_engine.configuration.with_name("broken.json")
    broken.write_text("{ nothing")
    said = subprocess.run(
        [str(SCRIPT), "--config", str(broken), "--pid", "0", "--host", own_engine.address],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert said.returncode != 0
    assert "no configuration of an engine" in said.stderr
    assert broken.read_text() == "{ nothing"


def test_commands_run_on_another_kernel(places) -> None:
    """The point of it: the system calls of a sandbox are not the host's."""
    place: Place = places("gvisor")
    with place.connect() as client:
        assert "gVisor" in client.output_of("dmesg")
    assert place.inspect()["HostConfig"]["Runtime"] == "runsc"


def test_no_network_is_promised_where_there_is_none(places, own_engine: GvisorEngine) -> None:
    """With --network=none the runtime gives none, whatever the engine says; so clients are told."""
    place: Place = places("gvisor")
    if "--network=none" not in own_engine.configuration.read_text():
        return
    shown = place.gateway.get(f"/sandboxes/{place.sandbox_id}").json()
    assert shown["ip_address"] is None
    asked = place.gateway.post("/sandboxes", json={"isolation": "gvisor", "network": "bridge"})
    assert asked.status_code == 422
    assert asked.json()["code"] == "invalid_fields"
    with place.connect() as client:
        assert client.output_of("cat /proc/net/dev | tail -n +3 | cut -d: -f1").split() == ["lo"]


def test_its_snapshots_have_what_was_just_written(places) -> None:
    """Also what no program has flushed: gVisor holds that in its own memory. The same for a fork,
    and a restore."""
    place: Place = places("gvisor")
    gateway = place.gateway

    def output(sandbox_id: str, command: str) -> str:
        result = result_of(gateway, sandbox_id, command)
        assert result["returncode"] == 0, (result["output"], result["error"])
        return str(result["output"])

    box = place.create()
    made = [box]
    try:
        output(box, "head -c 2M /dev/urandom > ~/f; sha256sum ~/f > ~/sum; chmod 600 ~/f")
        answer = gateway.post(f"/sandboxes/{box}/snapshots", json={"name": "of-gvisor"})
        assert answer.status_code == 201, answer.text
        assert answer.json()["losses"] == []
        output(box, "echo other > ~/f; echo more > ~/g")

        # gVisor's statx(2) does not know what ls and stat ask for.
        ask = (
            "import os; s = os.stat('f'); there = {*os.listdir()} & {'f', 'g', 'sum'}; "
            "print(oct(s.st_mode), s.st_uid == os.getuid(), sorted(there))"
        )
        look = f'cd; sha256sum -c sum; python3 -c "{ask}"'
        told = output(box, "cd; pwd").strip() + "/f: OK\n0o100600 True ['f', 'sum']\n"
        made.append(gateway.create(snapshot="of-gvisor", isolation="gvisor"))
        assert output(made[-1], look) == told
        [fork] = gateway.post(f"/sandboxes/{made[-1]}/fork", json={}).json()
        made.append(fork["sandbox_id"])
        assert output(made[-1], look) == told
        assert gateway.get(f"/sandboxes/{made[-1]}").json()["isolation"] == "gvisor"
        answer = gateway.post(f"/sandboxes/{box}/restore", json={"snapshot": "of-gvisor"})
        assert answer.status_code == 200, answer.text
        assert output(box, look) == told
    finally:
        for one in made:
            gateway.delete(f"/sandboxes/{one}")
        gateway.delete("/snapshots/of-gvisor")
