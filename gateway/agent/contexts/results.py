"""What code shows, by MIME type, as JSON; and the types that are the gateway's own."""

import base64
import json
import math

from IPython.core.formatters import BaseFormatter
from traitlets import ObjectName, Unicode

from .charts import chart_of
from .records import record

DATA = "application/vnd.sandbox.data+json"
"""A data frame: a list of each column by its name."""

CHART = "application/vnd.sandbox.chart+json"
"""What a figure shows, as numbers."""

LARGEST = 8 * 1024 * 1024
"""Bytes of JSON of one type of one result. A larger one is left out."""

MOST_CELLS = 200 * 1000
"""Of a data frame whose data is told."""


def result(data, is_main):
    """A record. Bytes are written in base64; what is no JSON, or too large, is left out."""
    told, left_out, left = {}, [], 2 * LARGEST
    for kind, value in data.items():
        if isinstance(value, (bytes, bytearray)):
            value = base64.b64encode(value).decode("ascii")
        elif isinstance(value, str) and kind in ("image/png", "image/jpeg"):
            value = "".join(value.split())
        try:
            size = len(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError):
            size = LARGEST + 1
        left -= size
        if size > LARGEST or left < 0:
            left_out.append(kind)
        else:
            told[kind] = value
    if left_out and "text/plain" not in told:
        told["text/plain"] = "(too large to be shown: %s)" % ", ".join(map(str, left_out))
    return record("result", is_main=is_main, data=told)


class DataFormatter(BaseFormatter):
    """The data of data frames."""

    format_type = Unicode(DATA)
    print_method = ObjectName("_repr_sandbox_data_")
    _return_type = dict


class ChartFormatter(BaseFormatter):
    """The numbers of figures."""

    format_type = Unicode(CHART)
    print_method = ObjectName("_repr_sandbox_chart_")
    _return_type = dict

    def pop(self, typ, default=None):
        """Nothing is given up: who sets up matplotlib takes figures away from all formatters."""
        return default


def install(formatter):
    """Give IPython's DisplayFormatter what results have here besides."""
    data, chart = DataFormatter(parent=formatter), ChartFormatter(parent=formatter)
    data.for_type_by_name("pandas.core.frame", "DataFrame", _data_of)
    chart.for_type_by_name("matplotlib.figure", "Figure", chart_of)
    formatter.formatters[DATA] = data
    formatter.formatters[CHART] = chart
    for kind in (dict, list):
        formatter.formatters["application/json"].for_type(kind, _json_of)


def _json_of(value):
    """It, or None where it is no JSON."""
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return None
    return value


def _data_of(frame):
    """None for one that is large."""
    if frame.size > MOST_CELLS:
        return None
    return {str(name): [plain(one) for one in column.tolist()] for name, column in frame.items()}


def plain(value):
    """What JSON can say of a value: a number, a text, nothing."""
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "isoformat"):
        return None if value != value else value.isoformat()  # NaT is not itself
    if hasattr(value, "item"):
        return plain(value.item())
    return str(value)
