"""Whatever a program in the agent's place does, in any order: a fuzzer chooses.

`scripts/soak` lets it choose often; the suite, a few times and always the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.clients import connect
from tests.support.gateway_process import GatewayProcess
from tests.support.hostile_agent import HELLO, Step, hostile_agent
from tests.support.leak_oracle import leak_oracle
from tests.support.rounds import rounds
from tests.support.strain import strain_of

EXAMPLES = rounds(usually=2, soaking=60)
SLOWEST_S = 0.25
LARGEST_GROWTH = 64 * 1024 * 1024
FLOOD_S = 1

FORGED = "FORGED\n2026-01-01 00:00:00,000 [1] INFO gateway: FORGED\x1b[2J\u2028FORGED"

OPERATIONS = ["run", "running", "list", "last_words", "quiet", "configure", "attach"]
EVENTS = ["started", "gap", "exit", "refused", "done", "commands", "running", "quiet", FORGED]


@pytest.fixture(scope="module", params=["auto", "exec"])
def shared_gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    """One worker, so that nobody else answers for it; both ways to an agent."""
    directory = tmp_path_factory.mktemp(f"behaviours-{request.param}")
    gateway = GatewayProcess(directory, workers="1", link=request.param)
    try:
        yield gateway.start_ready()
    finally:
        gateway.close()


def _large(text: str) -> st.SearchStrategy[object]:
    times = st.sampled_from([1, 1000, 100_000, 3_000_000 // len(text)])
    return st.fixed_dictionaries({"$repeat": st.tuples(st.just(text), times).map(list)})


LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, -1, 255, 2**31, 2**62, 2**63, 2**64, 10**30]),
    st.floats(),
    st.sampled_from(["", FORGED, "\ud800", "x"]),
    _large("x"),
    _large("🙂"),
    _large("\x00"),
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["a", FORGED]), inner, max_size=3),
        st.sampled_from([100, 10_000, 1_000_000]).map(lambda times: {"$many": [[], times]}),
        st.sampled_from([100, 10_000]).map(lambda times: {"$many": [{"a": 1}, times]}),
    ),
    max_leaves=6,
)
FIELDS = [
    *("pid", "meta", "offsets", "from", "to", "stream", "returncode", "stdout", "stderr"),
    *("windows", "failure", "code", "detail", "commands", "running", "at", "timed_out"),
]
EVENT = st.builds(
    lambda event, fields: {"event": event, **fields},
    st.sampled_from(EVENTS),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4),
)
HONEST_EVENT = st.sampled_from(
    [
        {"event": "started", "pid": 1, "meta": {}, "offsets": [0, 0]},
        {"event": "exit", "returncode": 0, "stdout": 0, "stderr": 0, "windows": [[], []]},
        {"event": "exit", "returncode": 0, "stdout": 8 << 20, "stderr": 0}
        | {"windows": [[[0, 8 << 20]], []]},
        {"event": "refused", "code": "unknown_command", "detail": FORGED},
    ]
)
CHANNEL = st.sampled_from([{}, {"ahead": 1}, {"ahead": -1}, {"channel": 0}, {"channel": 2**32 - 1}])
HOW_OFTEN = st.sampled_from([{"times": 1}, {"times": 2}, {"times": 1000}, {"seconds": FLOOD_S}])


def _step(do: str, **fields: st.SearchStrategy[object]) -> st.SearchStrategy[Step]:
    return st.builds(
        lambda own, channel, often: {"do": do, **channel, **often, **own},
        st.fixed_dictionaries(fields),
        CHANNEL,
        HOW_OFTEN,
    )


STEP = st.one_of(
    _step("event", event=EVENT),
    _step("event", event=HONEST_EVENT),
    _step(
        "frame",
        kind=st.integers(0, 9),
        payload=st.sampled_from([[], [["[", 100_000]], [["{}", 1]], [["\xff", 4096]]]),
    ),
    _step(
        "data",
        size=st.sampled_from([1, 20, 65536]),
        streams=st.sampled_from([[1], [2], [1, 2], [3]]),
    ),
    _step("gaps", between=st.sampled_from([0, 1, 1000])),
    _step("raw", bytes=st.sampled_from([[["\xff", 9]], [["\0", 1 << 20]], [[FORGED[:60], 1]]])),
    st.just({"do": "drip", "seconds": FLOOD_S}),
    st.sampled_from(OPERATIONS).map(lambda operation: {"do": "serve", "until": operation}),
    st.just({"do": "close"}),
    st.just({"do": "hang", "seconds": FLOOD_S}),
)
GREETING = st.one_of(
    st.just(HELLO),
    st.just(HELLO),
    st.fixed_dictionaries(
        {
            "do": st.just("hello"),
            "fields": st.dictionaries(
                st.sampled_from(["protocol", "daemon", "running", "pid"]), VALUES, max_size=2
            ),
        }
    ),
)
SCRIPT = st.builds(
    lambda greeting, operation, steps: [greeting, {"do": "serve", "until": operation}, *steps],
    GREETING,
    st.sampled_from(OPERATIONS),
    st.lists(STEP, min_size=1, max_size=5),
)


def _use(gateway: GatewayProcess, sandbox_id: str) -> None:
    """All that makes a gateway ask an agent, at once; whatever comes of it is an answer."""
    path = f"/sandboxes/{sandbox_id}"
    unread = connect(gateway, sandbox_id)
    for number in range(3):
        unread.ask("true", stream=True, request_id=str(number))
        unread.send({"type": "attach", "request_id": str(number), "stdout": 0, "stderr": 0})
    calls = [
        lambda: gateway.post(f"{path}/commands", json={"command": "true", "timeout": 5}, timeout=3),
        lambda: gateway.get(f"{path}/commands", timeout=3),
        lambda: gateway.get(f"{path}/commands/1/output", timeout=3),
        lambda: gateway.post(
            f"{path}/commands", json={"command": "true", "background": True}, timeout=3
        ),
    ]
    with ThreadPoolExecutor(len(calls)) as pool:
        for done in [pool.submit(call) for call in calls]:
            error = done.exception()
            assert error is None or "timed out" in str(error), error
            assert error is not None or done.result().status_code < 600
    unread.close()


@pytest.mark.timeout(7200)
def test_nothing_that_it_does_stops_the_gateway(shared_gateway: GatewayProcess) -> None:
    """Others are served in time, memory stays, no line of the log is its own, nothing is left."""
    gateway = shared_gateway

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=EXAMPLES < 10,
        phases=[Phase.generate],  # a smaller example of the same takes minutes to find
        suppress_health_check=list(HealthCheck),
    )
    @given(SCRIPT)
    def attack(steps: list[Step]) -> None:
        sandbox_id = gateway.create()
        with hostile_agent(gateway, sandbox_id, steps), strain_of(gateway) as strain:
            _use(gateway, sandbox_id)
            assert gateway.delete(f"/sandboxes/{sandbox_id}", timeout=15).status_code == 200
        assert strain.slowest_s < SLOWEST_S, steps
        assert strain.growth < LARGEST_GROWTH, steps

    with leak_oracle(gateway):
        attack()
    for line in gateway.log().splitlines():
        assert not line.startswith(("FORGED", "2026-01-01 00:00:00")), line
        assert "\x1b" not in line
        assert "Traceback" not in line, gateway.log()[-4000:]
