"""Code contexts over REST, in one sandbox of the template."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

from tests.support.eventually import eventually
from tests.support.gateway_process import GatewayProcess
from tests.support.problems import problem_of

DATA = "application/vnd.sandbox.data+json"
CHART = "application/vnd.sandbox.chart+json"


def _problem(answer: requests.Response) -> dict[str, Any]:
    return problem_of(answer, answer.status_code)


class Code:
    """A sandbox in which code is run, and one of its contexts."""

    def __init__(self, gateway: GatewayProcess, sandbox_id: str, context_id: str) -> None:
        self.gateway = gateway
        self.sandbox_id = sandbox_id
        self.path = f"/sandboxes/{sandbox_id}/contexts"
        self.context_id = context_id

    def ask(self, code: str, **more: Any) -> requests.Response:
        """The answer to an execution."""
        path = f"{self.path}/{more.pop('context', self.context_id)}/execute"
        return self.gateway.post(path, json={"code": code, **more})

    def run(self, code: str, **more: Any) -> dict[str, Any]:
        """What came of it."""
        answer = self.ask(code, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def value(self, code: str, **more: Any) -> str:
        """The last expression's, as text."""
        result = self.run(code, **more)
        assert result["error"] is None, result
        return result["results"][-1]["text/plain"]

    def error(self, code: str, **more: Any) -> str:
        """The name of what was raised."""
        return self.run(code, **more)["error"]["name"]


@pytest.fixture(scope="module")
def sandbox(code_gateway: GatewayProcess) -> Iterator[str]:
    """For all tests here: each has a context of its own, which takes milliseconds."""
    sandbox_id = code_gateway.create(image="code-interpreter", env={"GIVEN": "by the sandbox"})
    yield sandbox_id
    code_gateway.delete(f"/sandboxes/{sandbox_id}")


@pytest.fixture
def code(code_gateway: GatewayProcess, sandbox: str) -> Iterator[Code]:
    made = code_gateway.post(f"/sandboxes/{sandbox}/contexts")
    assert made.status_code == 201, made.text
    context = made.json()
    assert (context["language"], context["cwd"]) == ("python", "/home/user")
    assert made.headers["Location"].endswith(f"/contexts/{context['context_id']}")
    yield Code(code_gateway, sandbox, context["context_id"])
    code_gateway.delete(f"/sandboxes/{sandbox}/contexts/{context['context_id']}")


def test_an_execution_answers_with_all_that_it_did(code: Code) -> None:
    """The fields of the contract, and no others."""
    said = "import sys\nprint('out'); print('err', file=sys.stderr)\n1 + 1"
    assert code.run(said) == {
        "execution_count": 1,
        "stdout": "out\n",
        "stderr": "err\n",
        "results": [{"text/plain": "2"}],
        "error": None,
    }
    assert code.run("x = 1")["results"] == []
    assert code.run("x")["execution_count"] == 3


def test_contexts_keep_their_state_apart(code: Code) -> None:
    """And what one does to its interpreter concerns no other, although all are forks of one."""
    code.run("x = 5; import os; os.chdir('/tmp'); import random; random.seed(1)")
    other = code.gateway.post(code.path, json={"cwd": "/usr"}).json()["context_id"]

    assert code.value("x, os.getcwd()") == "(5, '/tmp')"
    assert code.error("x", context=other) == "NameError"
    assert code.value("import os; os.getcwd()", context=other) == "'/usr'"
    listed = {one["context_id"]: one["cwd"] for one in code.gateway.get(code.path).json()}
    assert listed["default"] == "/home/user"
    assert listed[other] == "/usr"
    assert listed[code.context_id] == "/home/user", "where it began"


def test_forks_draw_numbers_of_their_own(code: Code) -> None:
    """What is random in the process that all come from would be the same in all."""
    draw = "import numpy, random; (numpy.random.rand(), random.random())"
    other = code.gateway.post(code.path).json()["context_id"]
    assert code.value(draw) != code.value(draw, context=other)


def test_results_come_in_all_their_types(code: Code) -> None:
    """What a notebook would show, and what programs want besides."""
    frame = code.run("import pandas as pd\npd.DataFrame({'a': [1, 2.5], 'b': ['x', None]})")
    [shown] = frame["results"]
    assert "<table" in shown["text/html"]
    assert shown[DATA] == {"a": [1.0, 2.5], "b": ["x", None]}
    assert code.run("{'a': [1, 2]}")["results"][0]["application/json"] == {"a": [1, 2]}
    assert "application/json" not in code.run("[object()]")["results"][0]
    several = code.run(
        "display(1)\nprint('between')\nfrom IPython.display import HTML\nHTML('<b>')"
    )
    assert [set(one) for one in several["results"]] == [
        {"text/plain"},
        {"text/plain", "text/html"},
    ]
    assert several["stdout"] == "between\n"


@pytest.mark.parametrize(
    ("drawn", "kind"),
    [
        ("ax.plot([1, 2, 3], [4, 5, 6], label='up')", "line"),
        ("ax.scatter([1, 2], [3, 4])", "scatter"),
        ("ax.bar(['a', 'b'], [1, 2])", "bar"),
        ("ax.pie([1, 3], labels=['a', 'b'])", "pie"),
        ("ax.boxplot([[1, 2, 3, 4, 20]])", "box_and_whisker"),
    ],
)
def test_a_figure_is_one_picture_and_its_numbers(code: Code, drawn: str, kind: str) -> None:
    """Also when it is the last expression's value and still open at the end."""
    said = f"import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\n{drawn}\nax.set_title('T')"
    for last in ("None", "fig", "plt.show()"):
        [figure] = code.run(f"{said}\n{last}")["results"]
        assert base64.b64decode(figure["image/png"]).startswith(b"\x89PNG")
        assert (figure[CHART]["type"], figure[CHART]["title"]) == (kind, "T")
        assert figure[CHART]["elements"]


def test_errors_are_told_without_colours(code: Code) -> None:
    error = code.run("print('before')\n1/0")
    assert error["stdout"] == "before\n"
    assert error["error"]["name"] == "ZeroDivisionError"
    assert error["error"]["value"] == "division by zero"
    assert "1/0" in error["error"]["traceback"]
    assert "\x1b" not in error["error"]["traceback"]
    assert code.error("def f(:") == "SyntaxError"
    assert code.error("raise SystemExit(3)") == "SystemExit"
    assert code.error("input('name? ')") == "StdinNotImplementedError"
    assert code.value("1") == "1"


def test_what_is_started_writes_where_the_code_writes(code: Code) -> None:
    """In order, whatever way it takes."""
    said = (
        "import os, subprocess, sys\nprint('a')\n!echo b; exit 3\nprint('c', flush=True)\n"
        "subprocess.run(['echo', 'd'])\nos.write(1, b'e\\n')\nprint(_exit_code, end='')"
    )
    assert code.run(said)["stdout"] == "a\nb\nc\nd\ne\n3"
    assert code.value("await __import__('asyncio').sleep(0, 'awaited')") == "'awaited'"


def test_an_environment_is_for_one_execution(code: Code) -> None:
    """What the sandbox has given comes back; what it has not is gone."""
    read = "import os; (os.environ.get('GIVEN'), os.environ.get('NEW'), os.environ['HOME'])"
    assert code.value(read, env={"GIVEN": "now", "NEW": "x"}) == "('now', 'x', '/home/user')"
    assert code.value(read) == "('by the sandbox', None, '/home/user')"


def test_one_execution_at_a_time_and_contexts_side_by_side(code: Code) -> None:
    """The second waits for the first; another context does not."""
    answers: list[str] = []

    def slow(name: str, seconds: float) -> None:
        code.run(f"import time; time.sleep({seconds}); {name!r}")
        answers.append(name)

    first = threading.Thread(target=slow, args=("first", 1.0))
    first.start()
    eventually(lambda: code.value("2", context="default") == "2", within_s=5)
    second = threading.Thread(target=slow, args=("second", 0))
    second.start()
    assert code.value("1", context="default") == "1"
    assert answers == []
    first.join()
    second.join()
    assert answers == ["first", "second"]


def test_a_time_limit_interrupts_and_keeps_the_state(code: Code) -> None:
    began = time.monotonic()
    late = code.run("x = 1\nprint('here')\nimport time; time.sleep(60)", timeout=0.5)
    assert time.monotonic() - began < 10
    assert (late["error"]["name"], late["stdout"]) == ("TimeoutError", "here\n")
    assert code.value("x") == "1"


def test_who_hangs_up_interrupts(code: Code) -> None:
    """The time limits of many clients are nothing else. What was computed stays."""
    with pytest.raises(requests.ReadTimeout):
        code.gateway.post(
            f"{code.path}/{code.context_id}/execute",
            json={"code": "x = 2\nimport time; time.sleep(60)"},
            timeout=1,
        )
    began = time.monotonic()
    assert code.value("x") == "2"
    assert time.monotonic() - began < 5


def test_interrupt_and_restart(code: Code) -> None:
    found: list[dict[str, Any]] = []
    running = threading.Thread(target=lambda: found.append(code.run("import time; time.sleep(60)")))
    code.run("x = 3")
    running.start()
    path = f"{code.path}/{code.context_id}"

    def interrupted() -> bool:
        assert code.gateway.post(f"{path}/interrupt").status_code == 204
        running.join(0.2)
        return not running.is_alive()

    eventually(interrupted, within_s=10)
    assert found[0]["error"]["name"] == "KeyboardInterrupt"
    assert code.value("x") == "3"
    assert code.gateway.post(f"{path}/restart").status_code == 204
    assert code.error("x") == "NameError"
    assert code.run("1")["execution_count"] == 2, "counted anew"


def test_a_kernel_that_dies_is_replaced(code: Code) -> None:
    """However it dies: killed, left, or no longer heeding signals."""
    died = code.run("x = 1\nimport os, signal; print('last words'); os.kill(os.getpid(), 9)")
    assert (died["error"]["name"], died["stdout"]) == ("KernelDied", "last words\n")
    assert code.error("x") == "NameError"
    assert code.error("exit()") == "KernelDied"
    deaf = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)"
    assert code.error(deaf, timeout=0.2) == "TimeoutError"
    assert code.value("1") == "1"


def test_memory_that_runs_out_costs_one_kernel(code: Code) -> None:
    """Who takes it, and neither its neighbours nor who keeps them (`oom_score_adj`)."""
    other = code.gateway.post(code.path).json()["context_id"]
    code.run("kept = 1", context=other)
    assert code.error("b'x' * (4 << 30)") == "KernelDied"
    assert code.value("kept", context=other) == "1"
    assert code.value("1") == "1"


def test_output_is_bounded_and_says_so(code: Code) -> None:
    """In the answer; a stream has all of it. A result that is too large is left out."""
    flood = code.run("print('x' * 1024 * 1024 * 9)\n'y' * 5")
    assert len(flood["stdout"]) == 8 * 1024 * 1024
    assert flood["truncated"] == {
        "stdout_bytes": 9 * 1024 * 1024 + 1,
        "stderr_bytes": 0,
        "results": 1,
    }
    large = code.run("from IPython.display import HTML\nHTML('z' * 9_000_000)")
    assert "text/html" not in large["results"][0]


def test_an_execution_can_be_followed(code: Code) -> None:
    """Each event is there when it happens."""
    said = "import time\nprint('first')\ntime.sleep(0.5)\ndisplay(1)\n2\n1/0"
    began, events = time.monotonic(), []
    with requests.post(
        f"{code.gateway.url}{code.path}/{code.context_id}/execute",
        json={"code": said},
        headers={"Accept": "text/event-stream"},
        stream=True,
        timeout=30,
    ) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        for line in answer.iter_lines(chunk_size=1):
            if line.startswith(b"data: "):
                events.append((json.loads(line[6:]), time.monotonic() - began))
    told = [event for event, _at in events]
    assert [one["type"] for one in told] == ["begin", "stdout", "result", "exception", "end"]
    assert told[2] == {"type": "result", "is_main_result": False, "data": {"text/plain": "1"}}
    assert events[2][1] - events[1][1] > 0.3


def test_what_cannot_be_is_refused_by_name(code: Code) -> None:
    """Typed errors, and nothing is made."""

    def refusal(path: str = "", **body: Any) -> tuple[int, str]:
        answer = code.gateway.post(code.path + path, json=body)
        return answer.status_code, _problem(answer)["code"]

    assert refusal(language="r") == (422, "feature_missing")
    assert refusal(cwd="/nowhere") == (404, "path_not_found")
    assert refusal(color="red") == (422, "invalid_fields")
    assert refusal("/0123456789abcdef/execute", code="1") == (404, "context_not_found")
    assert refusal("/../x/execute", code="1")[0] == 404
    assert refusal("/default/execute") == (422, "invalid_fields")
    gone = code.gateway.delete(f"{code.path}/{'0' * 32}")
    assert (gone.status_code, _problem(gone)["code"]) == (404, "context_not_found")


def test_the_number_of_contexts_is_bounded(code: Code) -> None:
    """By SANDBOX_MAX_CONTEXTS, which this gateway has at 12."""
    made = []
    while (answer := code.gateway.post(code.path)).status_code == 201:
        made.append(answer.json()["context_id"])
        assert len(made) < 13
    assert _problem(answer)["code"] == "too_many_contexts"
    for context_id in made:
        assert code.gateway.delete(f"{code.path}/{context_id}").status_code == 204


def test_contexts_outlive_the_gateway_that_serves_them(code: Code) -> None:
    """They belong to the sandbox: any worker finds them, and the gateway that comes next."""
    code.run("x = 'kept'")
    code.gateway.kill()
    code.gateway.start_ready()
    assert code.value("x") == "'kept'"


def test_paused_sandboxes_go_on_by_themselves(code: Code) -> None:
    code.run("x = 7")
    assert code.gateway.post(f"/sandboxes/{code.sandbox_id}/pause").status_code == 200
    assert code.value("x") == "7"


def test_a_sandbox_that_ends_ends_what_runs(code_gateway: GatewayProcess) -> None:
    """Whoever waits is told, and at once."""
    sandbox_id = code_gateway.create(image="code-interpreter")
    code = Code(code_gateway, sandbox_id, "default")
    assert code.value("1") == "1", "from the pool or not, the default context is there"
    found: list[requests.Response] = []
    running = threading.Thread(target=lambda: found.append(code.ask("import time; time.sleep(60)")))
    running.start()
    eventually(lambda: code_gateway.status_of(sandbox_id) == "connected", within_s=5)
    code_gateway.delete(f"/sandboxes/{sandbox_id}")
    running.join(20)
    assert (found[0].status_code, _problem(found[0])["code"]) == (404, "sandbox_not_found")


def test_what_stands_ready_has_a_kernel_that_runs(code_gateway: GatewayProcess) -> None:
    """Before anybody has asked for code: a start of it takes seconds."""

    def has_one_from_the_beginning() -> bool:
        sandbox_id = code_gateway.create(image="code-interpreter")
        looked = code_gateway.post(
            f"/sandboxes/{sandbox_id}/commands", json={"command": "cat /proc/[0-9]*/comm"}
        ).json()
        code_gateway.delete(f"/sandboxes/{sandbox_id}")
        return {"sbxgwc", "python3"} <= set(looked["output"].split())

    eventually(has_one_from_the_beginning, within_s=60, every_s=2)


def test_other_images_say_that_they_run_no_code(code_gateway: GatewayProcess) -> None:
    """The default image has python3, and no IPython; the process that finds out leaves nothing."""
    sandbox_id = code_gateway.create()
    for _ in range(2):
        answer = code_gateway.post(f"/sandboxes/{sandbox_id}/contexts")
        assert (answer.status_code, _problem(answer)["code"]) == (422, "feature_missing")
        assert "IPython" in _problem(answer)["detail"]
    code_gateway.delete(f"/sandboxes/{sandbox_id}")
