"""A Flask application that writes a line every 0.1 s for a minute."""

from __future__ import annotations

import time

import requests
from benchmarks.client import BenchmarkFailed

from .sandbox import Sandbox

PORT = 5000
EVERY_S = 0.1

APPLICATION = """import time
from flask import Flask, Response

app = Flask(__name__)

@app.get("/<int:lines>")
def stream(lines):
    def written():
        for number in range(lines):
            time.sleep(0.1)
            yield f"{time.time():.4f} {number}\\n"
    return Response(written(), mimetype="text/plain")
"""


def seconds(sandbox: Sandbox, stream_s: float) -> dict[str, float]:
    """How late lines came at most after they had been written; the sandbox's clock is this
    machine's. Jupyter's environment has Flask. Raises BenchmarkFailed."""
    sandbox.put("stream.py", APPLICATION.encode())
    sandbox.start(f"exec venv/bin/flask --app stream run --port {PORT}", PORT, "flask")
    lines, late, worst = round(stream_s / EVERY_S), [], 0.0
    url = f"{sandbox.url}{sandbox.path(PORT)}/{lines}"
    with requests.get(url, stream=True, timeout=30) as answer:
        for number, line in enumerate(answer.iter_lines(chunk_size=1)):
            written, told = line.decode().split()
            if int(told) != number:
                raise BenchmarkFailed(f"line {told} came in the place of line {number}")
            late.append(time.time() - float(written))
    if len(late) != lines:
        raise BenchmarkFailed(f"{len(late)} of {lines} lines came")
    late.sort()
    worst = late[-1]
    return {"flask: a line, median": late[len(late) // 2], "flask: the latest line": worst}
