"""E2B's code interpreter SDKs, unmodified: every method of theirs, in one program each."""

from __future__ import annotations

import pytest

from tests.support.e2b_sdks import run_node, run_python
from tests.support.gateway_process import GatewayProcess

FOUND = {
    "text": "2",
    "stdout": ["hello\n"],
    "stderr": ["oops\n"],
    "streamed": ["hello\n", "oops\n"],
    "count": True,
    "string": "quoted",
    "json": {"a": [1]},
    "data": {"a": [1, 2]},
    "html": True,
    "png": True,
    "chart": ["bar", ["x", "y"]],
    "error": "ZeroDivisionError",
    "traceback": True,
    "env": "call",
    "env_after": "None",
    "cwd": "/tmp",
    "apart": "NameError",
    "listed": True,
    "restarted": "NameError",
    "removed": "NotFound",
    "language": True,
    "kept_after_timeout": "5",
    "timed_out": "Timeout",
    "command": "/home/user/made.txt\n",
    "both": "InvalidArgument",
}
"""What each of the programs finds, whatever the language of its SDK."""

_PYTHON = """
import json, {imports}
from e2b_code_interpreter import {sandbox} as Sandbox
from e2b import InvalidArgumentException, NotFoundException, TimeoutException

BAR = "import matplotlib.pyplot as plt; plt.bar(['x', 'y'], [1, 2]); plt.show()"

{define} main():
    found = {{}}
    sandbox = {wait}Sandbox.create(timeout=300)
    try:
        streamed = []
        code = "import sys; print('hello'); print('oops', file=sys.stderr); 1 + 1"
        first = {wait}sandbox.run_code(
            code,
            on_stdout=lambda message: streamed.append(message.line),
            on_stderr=lambda message: streamed.append(message.line),
        )
        found["text"] = first.text
        found["stdout"], found["stderr"] = first.logs.stdout, first.logs.stderr
        found["streamed"] = sorted(streamed)
        found["count"] = first.execution_count == 1
        found["string"] = ({wait}sandbox.run_code("'quoted'")).text
        found["json"] = ({wait}sandbox.run_code("{{'a': [1]}}")).results[0].json
        frame = ({wait}sandbox.run_code(
            "import pandas; pandas.DataFrame({{'a': [1, 2]}})"
        )).results[0]
        found["data"], found["html"] = frame.data, "<table" in frame.html
        [figure] = ({wait}sandbox.run_code(BAR)).results
        found["png"] = bool(figure.png)
        chart = figure.chart
        found["chart"] = [chart.type.value, [bar.label for bar in chart.elements]]
        failed = ({wait}sandbox.run_code("1/0")).error
        found["error"], found["traceback"] = failed.name, "1/0" in failed.traceback
        env = "import os; str(os.environ.get('FOO'))"
        found["env"] = ({wait}sandbox.run_code(env, envs={{"FOO": "call"}})).text
        found["env_after"] = ({wait}sandbox.run_code(env)).text

        context = {wait}sandbox.create_code_context(cwd="/tmp", language="python")
        {wait}sandbox.run_code("x = 5", context=context)
        found["cwd"] = ({wait}sandbox.run_code("import os; os.getcwd()", context=context)).text
        found["apart"] = ({wait}sandbox.run_code("x")).error.name
        listed = {wait}sandbox.list_code_contexts()
        found["listed"] = context.id in [one.id for one in listed] and len(listed) == 2
        try:
            {wait}sandbox.run_code("import time; time.sleep(60)", context=context, timeout=1)
        except TimeoutException:
            found["timed_out"] = "Timeout"
        found["kept_after_timeout"] = ({wait}sandbox.run_code("x", context=context)).text
        {wait}sandbox.restart_code_context(context)
        found["restarted"] = ({wait}sandbox.run_code("x", context=context)).error.name
        {wait}sandbox.remove_code_context(context)
        try:
            {wait}sandbox.run_code("x", context=context)
        except NotFoundException:
            found["removed"] = "NotFound"
        found["language"] = ({wait}sandbox.run_code("7", language="python")).text == "7"
        try:
            {wait}sandbox.run_code("1", language="python", context=context)
        except InvalidArgumentException:
            found["both"] = "InvalidArgument"
        {wait}sandbox.run_code("open('/home/user/made.txt', 'w').close()")
        listing = {wait}sandbox.commands.run("ls /home/user/made.txt")
        found["command"] = listing.stdout
    finally:
        {wait}sandbox.kill()
    print(json.dumps(found))

{start}
"""

_NODE = """
import { Sandbox } from '@e2b/code-interpreter'
import { InvalidArgumentError, NotFoundError, TimeoutError } from 'e2b'

const found = {}
const sandbox = await Sandbox.create({ timeoutMs: 300000 })
try {
  const streamed = []
  const code = "import sys; print('hello'); print('oops', file=sys.stderr); 1 + 1"
  const first = await sandbox.runCode(code, {
    onStdout: (message) => streamed.push(message.line),
    onStderr: (message) => streamed.push(message.line),
  })
  found.text = first.text
  found.stdout = first.logs.stdout
  found.stderr = first.logs.stderr
  found.streamed = streamed.sort()
  found.count = first.executionCount === 1
  found.string = (await sandbox.runCode("'quoted'")).text
  found.json = (await sandbox.runCode("{'a': [1]}")).results[0].json
  const frame = (await sandbox.runCode("import pandas; pandas.DataFrame({'a': [1, 2]})")).results[0]
  found.data = frame.data
  found.html = frame.html.includes('<table')
  const bar = "import matplotlib.pyplot as plt; plt.bar(['x', 'y'], [1, 2]); plt.show()"
  const figures = (await sandbox.runCode(bar)).results
  found.png = figures.length === 1 && !!figures[0].png
  const chart = figures[0].chart
  found.chart = [chart.type, chart.elements.map((one) => one.label)]
  const failed = (await sandbox.runCode('1/0')).error
  found.error = failed.name
  found.traceback = failed.traceback.includes('1/0')
  const env = "import os; str(os.environ.get('FOO'))"
  found.env = (await sandbox.runCode(env, { envs: { FOO: 'call' } })).text
  found.env_after = (await sandbox.runCode(env)).text

  const context = await sandbox.createCodeContext({ cwd: '/tmp', language: 'python' })
  await sandbox.runCode('x = 5', { context })
  found.cwd = (await sandbox.runCode('import os; os.getcwd()', { context })).text
  found.apart = (await sandbox.runCode('x')).error.name
  const listed = await sandbox.listCodeContexts()
  found.listed = listed.some((one) => one.id === context.id) && listed.length === 2
  try {
    await sandbox.runCode('import time; time.sleep(60)', { context, timeoutMs: 1000 })
  } catch (error) {
    if (error instanceof TimeoutError) found.timed_out = 'Timeout'
  }
  found.kept_after_timeout = (await sandbox.runCode('x', { context })).text
  await sandbox.restartCodeContext(context)
  found.restarted = (await sandbox.runCode('x', { context })).error.name
  await sandbox.removeCodeContext(context)
  try {
    await sandbox.runCode('x', { context })
  } catch (error) {
    if (error instanceof NotFoundError) found.removed = 'NotFound'
  }
  found.language = (await sandbox.runCode('7', { language: 'python' })).text === '7'
  try {
    await sandbox.runCode('1', { language: 'python', context })
  } catch (error) {
    if (error instanceof InvalidArgumentError) found.both = 'InvalidArgument'
  }
  await sandbox.runCode("open('/home/user/made.txt', 'w').close()")
  found.command = (await sandbox.commands.run('ls /home/user/made.txt')).stdout
} finally {
  await sandbox.kill()
}
console.log(JSON.stringify(found))
"""


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_every_method_for_python(code_gateway: GatewayProcess, is_async: bool) -> None:
    program = _PYTHON.format(
        imports="asyncio",
        sandbox="AsyncSandbox" if is_async else "Sandbox",
        define="async def" if is_async else "def",
        wait="await " if is_async else "",
        start="asyncio.run(main())" if is_async else "main()",
    )
    assert run_python(code_gateway, program).said == FOUND


def test_every_method_for_javascript(code_gateway: GatewayProcess) -> None:
    assert run_node(code_gateway, _NODE).said == FOUND


def test_a_sandbox_that_is_killed_is_told_as_such(code_gateway: GatewayProcess) -> None:
    """And not as a broken connection: the SDK finds out by itself."""
    program = """
        import json, threading, time
        from e2b_code_interpreter import Sandbox
        sandbox = Sandbox.create(timeout=300)
        sandbox.run_code("1")
        threading.Timer(1, sandbox.kill).start()
        try:
            sandbox.run_code("import time; time.sleep(60)")
            print(json.dumps({"said": None}))
        except Exception as error:
            print(json.dumps({"said": f"{type(error).__name__}: {error}"}))
        """
    said = str(run_python(code_gateway, program).said["said"])
    assert "killed" in said, said
