"""What is told of an execution: one JSON object to a line."""

import json


def record(kind, **fields):
    """A line."""
    fields["type"] = kind
    text = json.dumps(fields, separators=(",", ":"), ensure_ascii=False)
    return text.encode("utf-8", "replace") + b"\n"


def failure(name, value, traceback=""):
    """Code has failed, or could not go on."""
    return record("error", name=name, value=value, traceback=traceback)


def output(stream, text):
    """`stream` is stdout or stderr."""
    return record(stream, text=text)
