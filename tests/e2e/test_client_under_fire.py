"""The client while connections are cut and gateways are killed: every byte once, nothing twice."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.client import AsyncGateway, Gateway, Sandbox
from tests.support.cutting_proxy import CuttingProxy
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess

COMMANDS = 24
"""`scripts/bench` has more of the same."""

NUMBERS = "seq {n} $(({n} + {size} / 8))"


def _numbers(n: int, size: int) -> bytes:
    return b"".join(b"%d\n" % k for k in range(n, n + size // 8 + 1))


@pytest.fixture(scope="module")
def cut(shared_gateway: GatewayProcess) -> Iterator[tuple[CuttingProxy, Gateway, Sandbox]]:
    """A sandbox behind a proxy that cuts each connection after up to 1.5 MB of its answer."""
    with (
        CuttingProxy(shared_gateway.url, 1, 1_500_000, seed=7) as proxy,
        Gateway(proxy.url, timeout=120) as gateway,
    ):
        proxy.is_cutting = False
        with gateway.create() as sandbox:
            proxy.is_cutting = True
            yield proxy, gateway, sandbox
            proxy.is_cutting = False


@pytest.mark.timeout(240)
def test_commands_are_exact_over_connections_that_are_cut(
    cut: tuple[CuttingProxy, Gateway, Sandbox],
) -> None:
    """Several at a time, of up to 5 MB; each runs once."""
    proxy, _gateway, sandbox = cut

    def run(n: int) -> bool:
        size = 200_000 + n * 200_000
        result = sandbox.commands.run(
            f"echo {n} >> runs; {NUMBERS.format(n=n, size=size)}; echo {n} >&2; exit 3"
        )
        return (result.stdout, result.stderr, result.returncode) == (
            _numbers(n, size),
            b"%d\n" % n,
            3,
        )

    with ThreadPoolExecutor(4) as threads:
        exact = list(threads.map(run, range(COMMANDS)))

    assert exact == [True] * COMMANDS
    assert proxy.cuts > COMMANDS
    runs = sandbox.files.read_text("runs").split()
    assert sorted(runs, key=int) == [str(n) for n in range(COMMANDS)]


def test_the_same_with_asyncio(cut: tuple[CuttingProxy, Gateway, Sandbox]) -> None:
    """Over the same core."""
    proxy, _gateway, sandbox = cut

    async def run_all() -> list[bool]:
        async with AsyncGateway(proxy.url) as gateway:
            commands = gateway.sandbox(sandbox.id).commands
            wanted = [_numbers(n, 2_000_000) for n in range(4)]
            found = await asyncio.gather(
                *[commands.run(NUMBERS.format(n=n, size=2_000_000)) for n in range(4)]
            )
            return [one.stdout == other for one, other in zip(found, wanted, strict=True)]

    assert asyncio.run(run_all()) == [True] * 4


def test_files_are_exact_over_connections_that_are_cut(
    cut: tuple[CuttingProxy, Gateway, Sandbox], tmp_path: Path
) -> None:
    """A download goes on, an upload begins again; a directory's archive cannot, and says so."""
    proxy, _gateway, sandbox = cut
    data = os.urandom(6_000_000)
    cuts = proxy.cuts

    sandbox.files.write("large", data)
    told: list[tuple[int, int | None]] = []
    sandbox.files.download("large", tmp_path / "large", progress=lambda *now: told.append(now))

    assert (tmp_path / "large").read_bytes() == data
    assert told[-1] == (len(data), len(data))
    assert proxy.cuts > cuts + 3
    assert [path.name for path in tmp_path.iterdir()] == ["large"]
    assert sandbox.commands.run("sha256sum large").output.split()[0] == (
        hashlib.sha256(data).hexdigest()
    )


def test_a_create_whose_answer_is_lost_makes_one_sandbox(
    cut: tuple[CuttingProxy, Gateway, Sandbox],
) -> None:
    """Its key is the same the second time."""
    proxy, gateway, _sandbox = cut
    with CuttingProxy(proxy.url, 1, 100, seed=3) as worse, Gateway(worse.url) as over_it:
        over_it._driver.retrying.was_reached = True  # or the first cut would be an unknown address
        threading.Timer(2.0, lambda: setattr(worse, "is_cutting", False)).start()
        made = over_it.create(labels={"test": "lost-answer"})
    found = gateway.sandboxes(labels={"test": "lost-answer"})
    gateway.sandbox(made.id).delete()

    assert worse.cuts >= 1
    assert [one.sandbox_id for one in found] == [made.id]


@pytest.mark.timeout(180)
def test_gateways_that_are_killed_cost_nothing(own_gateway: Callable[..., GatewayProcess]) -> None:
    """Workers one by one, then all at once and the whole gateway anew; terminals come back too."""
    process = own_gateway().start_ready()
    line = "for n in $(seq 60); do echo $n; sleep 0.1; done"
    wanted = b"".join(b"%d\n" % n for n in range(1, 61))
    with Gateway(process.url) as gateway, gateway.create() as sandbox:
        with ThreadPoolExecutor(3) as threads:
            running = [threads.submit(sandbox.commands.run, f"echo $$ >> runs; {line}")]
            running.append(threads.submit(sandbox.commands.run, f"echo $$ >> runs; {line}"))
            terminal = sandbox.terminal(["sh", "-c", line])
            shown = threads.submit(lambda: b"".join(terminal))
            eventually(lambda: len(sandbox.commands.list()) == 3)
            for worker in process.workers():
                worker.kill()
                eventually(lambda: len(process.workers()) == 2)
            process.kill()
            process.start_ready()
            found = [one.result(60) for one in running]
            terminal_showed = shown.result(60)
            terminal.close()

        assert [one.stdout for one in found] == [wanted, wanted]
        assert terminal_showed.replace(b"\r\n", b"\n") == wanted
        assert terminal.result is not None
        assert terminal.result.returncode == 0
        assert len(sandbox.files.read_text("runs").split()) == 2
