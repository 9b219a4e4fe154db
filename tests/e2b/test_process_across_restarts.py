"""Processes of E2B's clients while clients stall and gateways are killed."""

from __future__ import annotations

import signal
from collections.abc import Callable

from tests.support.e2b_sdks import INLINE, KEYS
from tests.support.e2b_wire import Sandbox
from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess


def test_neither_a_stalled_client_nor_a_killed_gateway_costs_output(
    own_gateway: Callable[..., GatewayProcess],
) -> None:
    """A handle that nobody asks reads nothing, for longer than others may. And whoever connects
    again after a restart goes on where it was."""
    gateway = own_gateway(workers="1", write_timeout="1", api_keys=INLINE)
    gateway.headers = {"Authorization": f"Bearer {KEYS['alice']}"}
    gateway.start_ready()
    sandbox = Sandbox(gateway)
    ticking = sandbox.shell("for n in $(seq 100); do echo $n; sleep 0.03; done; sleep 60")
    ticking.until(b"30\n")
    gateway.kill()
    had, pid = ticking.until_it_breaks().stdout, ticking.pid
    ticking.close()
    gateway.start_ready()
    again = sandbox.connect(pid)
    rest = again.until(b"100\n").stdout
    first = int(rest.split()[0])
    # Again comes what was on its way, or was told of in the last milliseconds.
    assert len(had.split()) - 3 < first <= len(had.split()) + 1
    assert rest == b"".join(b"%d\n" % n for n in range(first, 101))

    stalled = sandbox.shell("head -c 12000000 /dev/zero")
    assert stalled.pid
    sandbox.start("sleep", "3").whole()
    whole = stalled.whole()
    assert (len(whole.stdout), whole.error) == (12_000_000, None)

    # Told to stop, it says so to whoever listens; the process goes on.
    gateway.signal(signal.SIGTERM)
    error = again.whole().error
    again.close()
    gateway.wait_stopped()
    assert error is not None
    assert error["code"] == "unavailable"
    gateway.start_ready()
    assert eventually(lambda: sandbox.alive(pid), within_s=20)
    sandbox.end()
