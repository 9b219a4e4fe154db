"""The warm pool: what stands ready is given out once, whole and fresh, at nobody's cost."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.clients import connect
from tests.support.eventually import always, eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.image_tag import ImageTag
from tests.support.leak_oracle import leak_oracle
from tests.support.lifecycle import MakeGateway, kinds_of, shown, states, stored_state
from tests.support.rest_commands import finished, in_background, result_of

MIB = 1024 * 1024
FILLED_S = 60.0

BUSY, CALM = f"sgk_{'b' * 43}", f"sgk_{'c' * 43}"
KEYS = f"busy:{BUSY},calm:{CALM}"


@pytest.fixture
def settings_of_own_gateways() -> dict[str, str]:
    """With the usual network, whose addresses and filters are made and removed as well."""
    return {}


def _filled(gateway: GatewayProcess, size: int = 2) -> dict[str, str]:
    """The pool once it is full and each of its containers has its agent."""

    def full() -> dict[str, str] | None:
        pooled = gateway.engine.pooled()
        if len(pooled) != size or {stored_state(gateway, one) for one in pooled} != {"pooled"}:
            return None
        return pooled

    return eventually(full, within_s=FILLED_S)


def _started(gateway: GatewayProcess, size: int = 2) -> dict[str, str]:
    gateway.start_ready()
    return _filled(gateway, size)


@pytest.fixture
def image() -> Iterator[ImageTag]:
    tag = ImageTag()
    yield tag
    tag.close()


def test_the_pool_fills_with_agents_running(own_gateway: MakeGateway) -> None:
    """Before anybody asks, and no further than its size. Clients see nothing of it."""
    gateway = own_gateway(pool_size="3")
    pooled = _started(gateway, 3)

    for sandbox_id in pooled:
        assert len(gateway.engine.agents(sandbox_id)) == 1
        assert gateway.status_of(sandbox_id) == "404"
        assert gateway.get(f"/sandboxes/{sandbox_id}/events").status_code == 404
        assert gateway.delete(f"/sandboxes/{sandbox_id}").status_code == 404
        assert gateway.post(f"/sandboxes/{sandbox_id}/pause").status_code == 404
    assert gateway.get("/sandboxes").json() == []
    always(lambda: gateway.engine.pooled() == pooled, for_s=2)


def test_a_default_create_takes_one_and_another_takes_its_place(own_gateway: MakeGateway) -> None:
    """The sandbox is the container that stood ready, under a sandbox's name, and as good as new:
    its age and its idle time begin with the create."""
    gateway = own_gateway(pool_size="2", idle_timeout="60")
    pooled = _started(gateway)
    time.sleep(1)
    asked_at = time.time()

    sandbox_id = gateway.create(labels={"a": "b"}, timeout=600, idle_action="pause")

    container_id = pooled[sandbox_id]
    said = shown(gateway, sandbox_id)
    assert said["created_at"] >= asked_at - 0.1
    assert said["expires_at"] == pytest.approx(asked_at + 600, abs=2)
    assert (said["labels"], said["idle_action"]) == ({"a": "b"}, "pause")
    assert said["ip_address"] is not None
    assert kinds_of(gateway, sandbox_id) == ["created"]
    with connect(gateway, sandbox_id) as client:
        assert client.output_of("pwd; ls -A | wc -l").splitlines()[0].startswith("/")
    eventually(lambda: gateway.engine.containers() == {sandbox_id: container_id})
    name = gateway.engine.inspect(sandbox_id)["Name"]
    assert name.startswith("/sandbox-")
    assert sandbox_id not in name
    refilled = _filled(gateway)
    assert sandbox_id not in refilled
    assert set(pooled) - {sandbox_id} < set(refilled)


def test_limits_are_changed_on_the_taken_one(own_gateway: MakeGateway) -> None:
    """Up and down, the engine's word and the kernel's; no new container is made for it."""
    gateway = own_gateway(pool_size="2", memory_mb="128", cpus="0.5", pids="64")
    pooled = _started(gateway)
    more = gateway.create(memory_mb=300, cpus=1.5, pids=200)
    less = gateway.create(memory_mb=64, cpus=0.25, pids=32)

    for sandbox_id, memory_mb, cpus, pids in ((more, 300, 1.5, 200), (less, 64, 0.25, 32)):
        assert sandbox_id in pooled
        host = gateway.engine.inspect(sandbox_id)["HostConfig"]
        assert (host["Memory"], host["MemorySwap"]) == (memory_mb * MIB, memory_mb * MIB)
        assert host["CpuQuota"] / host["CpuPeriod"] == cpus
        assert host["PidsLimit"] == pids
        said = shown(gateway, sandbox_id)
        assert (said["memory_mb"], said["cpus"], said["pids"]) == (memory_mb, cpus, pids)
    take = "python3 -c 'print(len(bytearray(200 << 20)))'"
    assert result_of(gateway, more, take)["output"] == f"{200 << 20}\n"
    assert result_of(gateway, less, take)["returncode"] == 137


@pytest.mark.parametrize(("memory_mb", "has_gap"), [(64, True), (256, False)])
def test_the_taken_ones_agent_keeps_what_its_new_memory_bears(
    own_gateway: MakeGateway, memory_mb: int, has_gap: bool
) -> None:
    """A quarter of it: of 24 MB of output a sandbox of 64 MB keeps less, one of 256 MB all."""
    gateway = own_gateway(pool_size="1", memory_mb="128", retain_output_mb="32")
    pooled = _started(gateway, 1)
    time.sleep(1)  # each worker has a link by now, made with the pool's limits
    sandbox_id = gateway.create(memory_mb=memory_mb)
    assert sandbox_id in pooled

    command = f"head -c {24 * MIB} /dev/zero"
    address = in_background(gateway, sandbox_id, command, "long")
    eventually(lambda: finished(gateway, address), within_s=30)

    answer = gateway.get(f"{address}/output?offset={12 * MIB}&limit=1")
    assert (int(answer.headers["X-Output-Offset"]) > 12 * MIB) == has_gap


@pytest.mark.parametrize(
    "wanted",
    [{"env": {"A": "b"}}, {"network": "none"}, {"isolation": "strict"}],
    ids=lambda wanted: next(iter(wanted)),
)
def test_what_cannot_be_changed_is_made_cold(own_gateway: MakeGateway, wanted: dict) -> None:
    """Environment, network and isolation are fixed with the container: the pool is left alone."""
    gateway = own_gateway(pool_size="1")
    pooled = _started(gateway, 1)

    sandbox_id = gateway.create(**wanted)

    assert sandbox_id not in pooled
    assert gateway.engine.pooled() == pooled
    if "env" in wanted:
        assert result_of(gateway, sandbox_id, "echo $A")["output"] == "b\n"


def test_many_takers_get_one_each(own_gateway: MakeGateway) -> None:
    """More creates at once than stand ready, over both workers: nobody shares, nobody fails."""
    gateway = own_gateway(pool_size="3")
    pooled = _started(gateway, 3)
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: gateway.create(), range(8)))

    assert len(set(made)) == 8
    assert set(pooled) < set(made)
    for number, sandbox_id in enumerate(made):
        result_of(gateway, sandbox_id, f"echo {number} > mine")
    for number, sandbox_id in enumerate(made):
        assert result_of(gateway, sandbox_id, "cat mine")["output"] == f"{number}\n"
    assert _filled(gateway, 3).keys().isdisjoint(made)


def test_creates_go_before_the_pool(own_gateway: MakeGateway) -> None:
    """While creates are under way the pool does not grow: a burst has the engine to itself."""
    gateway = own_gateway(pool_size="6")
    _started(gateway, 6)
    with ThreadPoolExecutor(12) as pool:
        creates = [pool.submit(gateway.create) for _ in range(14)]
        most = 0
        while not all(create.done() for create in creates):
            made = sum(create.done() for create in creates)
            if 6 <= made < 13:
                most = max(most, sum(s in ("pooling", "pooled") for _, s in states(gateway)))
            time.sleep(0.05)
    # One may have been in the making when the burst began.
    assert most <= 2
    assert len({create.result() for create in creates}) == 14
    _filled(gateway, 6)


def test_an_image_that_was_built_anew_replaces_the_pool(
    own_gateway: MakeGateway, image: ImageTag
) -> None:
    """Who has rebuilt the image gets the new one after some seconds, never the old one again."""
    image.point_to(1)
    gateway = own_gateway(pool_size="2", image=image.name)
    old = _started(gateway)
    assert result_of(gateway, gateway.create(), "echo $GENERATION")["output"] == "1\n"

    image.point_to(2)
    time.sleep(6)

    for _ in range(4):
        sandbox_id = gateway.create()
        assert sandbox_id not in old
        assert result_of(gateway, sandbox_id, "echo $GENERATION")["output"] == "2\n"
    eventually(lambda: old.keys().isdisjoint(gateway.engine.pooled()), within_s=FILLED_S)
    _filled(gateway)
    gateway.close()


@pytest.mark.parametrize("how", ["kill", "remove", "pause", "stop"])
def test_a_pooled_container_that_has_gone_is_nobodys_trouble(
    own_gateway: MakeGateway, how: str
) -> None:
    """Whatever was done to it behind the gateway's back, creates right afterwards give sandboxes
    that work, and the pool is whole again."""
    gateway = own_gateway(pool_size="2")
    pooled = _started(gateway)
    api = gateway.engine.api
    for container_id in pooled.values():
        if how == "kill":
            api.kill(container_id)
        elif how == "remove":
            api.remove_container(container_id, force=True)
        elif how == "pause":
            api.pause(container_id)
        else:
            api.stop(container_id, timeout=0)

    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: gateway.create(), range(4)))

    for sandbox_id in made:
        assert result_of(gateway, sandbox_id, "echo well")["output"] == "well\n"
    assert gateway.listed() == set(made)
    filled = _filled(gateway)
    if how != "pause":
        assert filled.keys().isdisjoint(pooled)
    eventually(lambda: set(gateway.engine.containers()) == set(made))


def test_a_restarted_gateway_uses_the_pool_that_it_finds(own_gateway: MakeGateway) -> None:
    """`kill -9`, and nothing is made anew: what stood ready stands ready still."""
    gateway = own_gateway(pool_size="2")
    pooled = _started(gateway)
    gateway.kill()

    gateway.start_ready()

    always(lambda: gateway.engine.pooled() == pooled, for_s=3)
    sandbox_id = gateway.create()
    assert sandbox_id in pooled
    assert result_of(gateway, sandbox_id, "echo well")["output"] == "well\n"


def test_a_smaller_pool_gives_up_what_is_too_much(own_gateway: MakeGateway) -> None:
    """The operator lowers the size, or turns the pool off: nothing stands around for ever."""
    gateway = own_gateway(pool_size="2")
    _started(gateway)
    taken = gateway.create()
    gateway.kill()

    gateway._settings["pool_size"] = "0"
    gateway.start_ready()

    eventually(lambda: gateway.engine.pooled() == {}, within_s=15)
    assert gateway.listed() == set(gateway.engine.containers()) == {taken}


def test_without_its_database_taken_ones_are_kept(own_gateway: MakeGateway) -> None:
    """The name tells them apart: what somebody has is adopted, what nobody has is removed. The
    sandbox keeps what it was made with."""
    gateway = own_gateway(pool_size="2", memory_mb="128")
    pooled = _started(gateway)
    warm = gateway.create()
    cold = gateway.create(
        env={"A": "b"}, labels={"team": "blue"}, timeout=900, idle_timeout=500, memory_mb=200
    )
    result_of(gateway, warm, "echo kept > file")
    eventually(lambda: set(gateway.engine.containers()) == {warm, cold})
    before = shown(gateway, cold)
    _filled(gateway)
    pooled = gateway.engine.pooled()
    gateway.kill()
    for path in gateway.data_dir.glob("gateway.db*"):
        path.unlink()

    gateway.start_ready()

    eventually(lambda: gateway.listed() == {warm, cold})
    eventually(lambda: pooled.keys().isdisjoint(gateway.engine.pooled()))
    assert set(gateway.engine.containers()) == {warm, cold}
    assert result_of(gateway, warm, "cat file")["output"] == "kept\n"
    after = shown(gateway, cold)
    assert after["expires_at"] == pytest.approx(before["expires_at"], abs=1)
    assert {name: after[name] for name in after if name not in ("expires_at", "status")} == {
        name: before[name] for name in before if name not in ("expires_at", "status")
    }
    assert kinds_of(gateway, cold) == ["adopted"]


def test_the_most_sandboxes_are_never_exceeded(own_gateway: MakeGateway) -> None:
    """`SANDBOX_MAX` holds with the pool: those who ask go before those who might."""
    gateway = own_gateway(pool_size="2", max="3", queue_wait="0")
    _started(gateway)

    made = [gateway.create(), gateway.create()]
    eventually(lambda: len(gateway.engine.pooled()) == 1, within_s=FILLED_S)
    made.append(gateway.create())
    assert gateway.post("/sandboxes").status_code == 503
    always(lambda: len(gateway.listed()) == 3, for_s=1)
    eventually(lambda: not gateway.engine.pooled())
    gateway.delete(f"/sandboxes/{made[0]}")
    _filled(gateway, 1)


def test_a_worker_that_fills_the_pool_may_be_killed(own_gateway: MakeGateway) -> None:
    """At any moment: what it was making is undone, another one goes on, nothing is left over."""
    gateway = own_gateway(pool_size="4")
    gateway.start_ready()
    for _ in range(3):
        time.sleep(0.4)
        for worker in gateway.workers():
            worker.kill()
        eventually(lambda: len(gateway.workers()) == 2)

    pooled = _filled(gateway, 4)

    always(lambda: gateway.engine.pooled() == pooled, for_s=2)
    assert gateway.engine.containers() == {}


def test_taking_and_deleting_leaves_nothing(own_gateway: MakeGateway) -> None:
    """Forty from the pool and cold: what was taken is gone with its sandbox."""
    gateway = own_gateway(pool_size="2")
    _started(gateway)
    with leak_oracle(gateway, live=set()):
        for _ in range(10):
            with ThreadPoolExecutor(4) as pool:
                made = list(pool.map(lambda _: gateway.create(), range(4)))
                for answer in pool.map(lambda one: gateway.delete(f"/sandboxes/{one}"), made):
                    assert answer.status_code == 200
    _filled(gateway)


def test_something_is_kept_for_who_has_had_less(own_gateway: MakeGateway) -> None:
    """One key takes the whole pool, and one more create of its own waits for room. What the pool
    keeps for another key is made all the same, and is left to it."""
    gateway = own_gateway(
        pool_size="1", workers="1", max="6", queue_wait="60", share_per_key="0.5", api_keys=KEYS
    )
    busy, calm = {"X-API-Key": BUSY}, {"X-API-Key": CALM}

    def create(who: dict[str, str], **options: object) -> str:
        answer = gateway.post("/sandboxes", json=options, headers=who)
        assert answer.status_code == 201, answer.text
        return answer.json()["sandbox_id"]

    gateway.headers = calm
    pooled = _started(gateway, 1)
    taken = [create(busy)]
    assert set(pooled) == set(taken)
    create(calm, env={"MADE": "cold"})
    taken += [create(busy, env={"MADE": "cold"}) for _ in range(2)]
    with ThreadPoolExecutor(1) as waits:
        waiting = waits.submit(create, busy)
        kept = eventually(lambda: _standing(gateway), within_s=FILLED_S)
        assert not waiting.done()
        gateway.delete(f"/sandboxes/{taken[0]}", headers=busy)
        assert waiting.result() not in kept
    assert create(calm) in kept


def _standing(gateway: GatewayProcess) -> set[str]:
    pooled = gateway.engine.pooled()
    return {one for one in pooled if stored_state(gateway, one) == "pooled"}


def test_one_that_had_to_be_made_has_its_agent_as_well(own_gateway: MakeGateway) -> None:
    """Where there are several keys, who has created it need not wait for that with the first
    command. It is not ready before: its idle time would begin while its create still waits."""
    gateway = own_gateway(pool_size="0", api_keys=KEYS)
    gateway.headers = {"X-API-Key": CALM}
    gateway.start_ready()
    with ThreadPoolExecutor(1) as creating:
        created = creating.submit(gateway.create)
        [sandbox_id] = eventually(
            lambda: [one for one, state in states(gateway) if state == "ready"], every_s=0.002
        )
        assert len(gateway.engine.agents(sandbox_id)) == 1
        assert created.result() == sandbox_id
