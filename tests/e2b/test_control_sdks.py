"""E2B's SDKs, unmodified, over every method of theirs that is about sandboxes as a whole.

Each program does many things in few sandboxes, and prints what came of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.e2b_sdks import NEWEST, OLDER, OLDEST, PYTHON, run_node, run_python
from tests.support.gateway_process import GatewayProcess

SYNC = """
import json, time, e2b
from datetime import datetime, timedelta, timezone
from e2b import Sandbox, SandboxQuery, SandboxState, Template
said = {}
mark = {"of": "%(mark)s", "kl\\u00fc/1": "a b%%+&=\\u00e9"}
sandbox = Sandbox.create(timeout=300, metadata=mark, envs={"A": "b"})
said["running"] = sandbox.is_running()
said["host"] = sandbox.get_host(3000).startswith("3000-" + sandbox.sandbox_id + ".")
info = sandbox.get_info()
said["metadata"] = info.metadata == mark
said["state"] = info.state == SandboxState.RUNNING
said["same end"] = Sandbox.get_info(sandbox.sandbox_id).end_at == info.end_at
sandbox.set_timeout(600)
# 300 s, and what has passed since the create.
said["later"] = 300 <= (sandbox.get_info().end_at - info.end_at).total_seconds() < 360
Sandbox.set_timeout(sandbox.sandbox_id, 300)
page = Sandbox.list(query=SandboxQuery(metadata=mark, state=[SandboxState.RUNNING]), limit=1)
said["listed"] = [one.sandbox_id == sandbox.sandbox_id for one in page.next_items()]
said["more"] = page.has_next
other = Sandbox.connect(sandbox.sandbox_id)
said["connected"] = other.is_running() and other.sandbox_id == sandbox.sandbox_id
for _ in range(40):
    metrics = sandbox.get_metrics()
    if metrics:
        break
    time.sleep(0.5)
said["metrics"] = bool(metrics) and metrics[0].mem_total > 0
later = datetime.now(timezone.utc) + timedelta(hours=1)
said["no metrics"] = sandbox.get_metrics(start=later)
said["paused"] = [sandbox.pause(), sandbox.pause(), sandbox.is_running()]
said["resumed"] = sandbox.connect(timeout=300).is_running()
snapshot = sandbox.create_snapshot()
said["snapshots"] = [
    one.snapshot_id == snapshot.snapshot_id for one in sandbox.list_snapshots().next_items()
]
copy = Sandbox.create(snapshot.snapshot_id, timeout=60)
said["copy"] = copy.is_running()
said["killed"] = [copy.kill(), Sandbox.kill(copy.sandbox_id), copy.is_running()]
if hasattr(sandbox, "fork"):
    forks = sandbox.fork(timeout=60, count=2)
    said["forks"] = [fork.is_running() and fork.kill() for fork in forks]
said["deleted"] = [Sandbox.delete_snapshot(snapshot.snapshot_id) for _ in range(2)]
said["update"] = sandbox.update_network({})
said["templates"] = [Template.alias_exists(word) for word in ("base", "nope")]
def raised(act):
    try:
        act()
        return None
    except Exception as error:
        return type(error).__name__
said["raises"] = {
    "template": raised(lambda: Sandbox.create("nope")),
    "connect": raised(lambda: Sandbox.connect("0" * 32)),
    "info": raised(lambda: Sandbox.get_info("0" * 32)),
    "timeout": raised(lambda: Sandbox.set_timeout("0" * 32, 5)),
    "key": raised(lambda: Sandbox.create(api_key="e2b_" + "c" * 40)),
    "network": raised(lambda: sandbox.update_network({"deny_out": ["10.0.0.0/8"]})),
    "build": raised(lambda: Template.build(Template().from_base_image(), alias="x")),
}
said["end"] = sandbox.kill()
print(json.dumps(said))
"""

SAID = {
    "running": True,
    "host": True,
    "metadata": True,
    "state": True,
    "same end": True,
    "later": True,
    "listed": [True],
    "more": False,
    "connected": True,
    "metrics": True,
    "no metrics": [],
    "resumed": True,
    "snapshots": [True],
    "copy": True,
    "killed": [True, False, False],
    "deleted": [True, False],
    "update": None,
    "templates": [True, False],
    "end": True,
}


@pytest.mark.parametrize("sdk", PYTHON)
def test_every_method_of_the_synchronous_sdk(e2b_gateway: GatewayProcess, sdk: str) -> None:
    """Of the newest version, and of two that are widely pinned."""
    said = run_python(e2b_gateway, SYNC % {"mark": sdk}, sdk=sdk).said
    raises = said.pop("raises")

    assert {name: said[name] for name in SAID} == SAID
    assert said["paused"][-1] is False
    assert sdk == OLDEST or said["forks"] == [True, True]
    # Before 2.30 a pause of what is paused already raises, or says True.
    assert sdk == OLDEST or said["paused"] == [True, False, False]
    assert isinstance(raises, dict)
    assert raises.pop("key") == "AuthenticationException"
    assert raises.pop("connect") == "SandboxNotFoundException"
    assert raises.pop("info") == raises.pop("timeout") == "SandboxNotFoundException"
    assert raises.pop("template") == raises.pop("network") == "SandboxException"
    assert raises.pop("build") in ("BuildException", "SandboxException")
    assert not raises


ASYNC = """
import asyncio, json
from e2b import AsyncSandbox, SandboxQuery, AsyncTemplate
async def main():
    said = {}
    sandbox = await AsyncSandbox.create(
        timeout=300, metadata={"of": "async"},
        lifecycle={"on_timeout": "pause", "auto_resume": True},
    )
    said["running"] = await sandbox.is_running()
    info = await sandbox.get_info()
    said["lifecycle"] = [str(info.lifecycle["on_timeout"].value), info.lifecycle["auto_resume"]]
    await sandbox.set_timeout(0)
    said["woken"] = await sandbox.is_running()
    page = AsyncSandbox.list(query=SandboxQuery(metadata={"of": "async"}), order="asc")
    said["listed"] = [one.sandbox_id == sandbox.sandbox_id for one in await page.next_items()]
    said["paused"] = [await sandbox.pause(), await sandbox.pause()]
    again = await AsyncSandbox.connect(sandbox.sandbox_id, timeout=300)
    said["resumed"] = await again.is_running()
    said["cold"] = [await sandbox.pause(mode="filesystem")]
    await sandbox.connect(on_resume="reboot")
    said["cold"].append(await sandbox.is_running())
    snapshot = await sandbox.create_snapshot(name="async-snap")
    said["names"] = snapshot.names
    named = await AsyncSandbox.list_snapshots(name="async-snap").next_items()
    said["named"] = [one.snapshot_id == snapshot.snapshot_id for one in named]
    said["exists"] = await AsyncTemplate.alias_exists("async-snap")
    fork, = await sandbox.fork(timeout=60)
    said["fork"] = await fork.kill()
    said["deleted"] = await AsyncSandbox.delete_snapshot(snapshot.snapshot_id)
    await sandbox.update_network({})
    said["metrics"] = isinstance(await sandbox.get_metrics(), list)
    many = await asyncio.gather(*(AsyncSandbox.create(timeout=60) for _ in range(4)))
    said["many"] = await asyncio.gather(*(one.kill() for one in many))
    said["end"] = [await sandbox.kill(), await sandbox.is_running()]
    print(json.dumps(said))
asyncio.run(main())
"""


def test_every_method_of_the_asynchronous_sdk(e2b_gateway: GatewayProcess) -> None:
    """With what only the newest has: a lifecycle, cold pauses, snapshots by name."""
    assert run_python(e2b_gateway, ASYNC, sdk=NEWEST).said == {
        "running": True,
        "lifecycle": ["pause", True],
        "woken": True,
        "listed": [True],
        "paused": [True, False],
        "resumed": True,
        "cold": [True, True],
        "names": ["async-snap"],
        "named": [True],
        "exists": True,
        "fork": True,
        "deleted": True,
        "metrics": True,
        "many": [True] * 4,
        "end": [True, False],
    }


PROGRAMS = Path(__file__).parent / "programs"


def test_every_method_of_the_javascript_sdk(e2b_gateway: GatewayProcess) -> None:
    """The newest of npm."""
    assert run_node(e2b_gateway, (PROGRAMS / "control_plane.mjs").read_text()).said == {
        "running": True,
        "host": True,
        "metadata": "%+&=é",
        "later": True,
        "listed": [True],
        "more": False,
        "metrics": True,
        "paused": [True, False, False],
        "resumed": True,
        "snapshots": [True],
        "killed": [True, False, False],
        "forks": [True, True],
        "deleted": [True, False],
        "templates": [True, False],
        "raises": ["SandboxError", "SandboxNotFoundError", "AuthenticationError"],
        "end": [True, False],
    }


COLD = """
import json
from e2b import Sandbox
sandbox = Sandbox.create(timeout=120)
print(json.dumps({"id": sandbox.sandbox_id}))
"""


def test_a_cold_pause_keeps_the_files_only(e2b_gateway: GatewayProcess) -> None:
    """What ran before is not there any more, what was written is."""
    made = str(run_python(e2b_gateway, COLD, sdk=OLDER).said["id"])
    commands = f"/sandboxes/{made}/commands"
    e2b_gateway.post(commands, json={"command": "echo kept > ~/file"})
    e2b_gateway.post(commands, json={"command": "exec -a sleeper sleep 600", "background": True})
    look = {"command": "cat ~/file; pgrep -f [s]leeper | wc -l"}
    before = e2b_gateway.post(commands, json=look).json()["output"]
    run_python(
        e2b_gateway,
        f"""
        import json
        from e2b import Sandbox
        sandbox = Sandbox.connect("{made}")
        sandbox.pause(mode="filesystem")
        sandbox.connect()
        print(json.dumps({{}}))
        """,
    )
    after = e2b_gateway.post(commands, json=look).json()["output"]
    e2b_gateway.delete(f"/sandboxes/{made}")

    assert before == "kept\n1\n"
    assert after == "kept\n0\n"
