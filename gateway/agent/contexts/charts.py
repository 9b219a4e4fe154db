"""What a figure of matplotlib shows, as numbers: of each of its axes one chart.

The form is that of E2B's code interpreter, whose clients know it: line, scatter, bar, pie,
box_and_whisker, and superchart for several axes.
"""

import math
from typing import Any

MOST_POINTS = 20 * 1000
"""Of one figure; beyond it the rest is left out."""


def chart_of(figure):
    """A dict, or None where there is nothing that is known. An odd figure is no error."""
    try:
        charts = [chart for chart in map(_of_axes, figure.axes) if chart is not None]
    except Exception:  # noqa: BLE001 - the picture is shown without
        return None
    if len(charts) > 1:
        title = figure._suptitle.get_text() if figure._suptitle is not None else ""
        return {"type": "superchart", "title": title, "elements": charts}
    return charts[0] if charts else None


def _of_axes(axes):
    from matplotlib.collections import PathCollection
    from matplotlib.patches import Rectangle, Wedge

    wedges = [one for one in axes.patches if isinstance(one, Wedge)]
    if wedges:
        return _head(axes, "pie", [_slice(axes, one) for one in wedges])
    boxes = _boxes(axes)
    if boxes:
        return {**_head(axes, "box_and_whisker", boxes), **_labels(axes)}
    bars = [one for one in axes.containers if hasattr(one, "patches") and len(one.patches)]
    bars = [one for one in bars if all(isinstance(bar, Rectangle) for bar in one.patches)]
    if bars:
        return {**_head(axes, "bar", _bars(axes, bars)), **_labels(axes)}
    points = [one for one in axes.collections if isinstance(one, PathCollection)]
    if points:
        found = [_series(one.get_label(), one.get_offsets().tolist(), axes) for one in points]
        return {**_head(axes, "scatter", found), **_labels(axes), **_ticks(axes)}
    if axes.lines:
        found = [_series(one.get_label(), one.get_xydata().tolist(), axes) for one in axes.lines]
        return {**_head(axes, "line", found), **_labels(axes), **_ticks(axes)}
    if axes.has_data():
        return _head(axes, "unknown", [])
    return None


def _head(axes, kind, elements):
    return {"type": kind, "title": axes.get_title(), "elements": elements}


def _labels(axes):
    x_label, x_unit = _unit(axes.get_xlabel())
    y_label, y_unit = _unit(axes.get_ylabel())
    return {"x_label": x_label, "x_unit": x_unit, "y_label": y_label, "y_unit": y_unit}


def _unit(label):
    """`speed (m/s)` is speed, in m/s."""
    _head, bracket, rest = label.rpartition(" (")
    if bracket and rest.endswith(")"):
        return label, rest[:-1]
    return label, None


def _ticks(axes):
    found: Any = {}
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        is_date = "Date" in type(axis.get_major_formatter()).__name__
        ticks = axis.get_ticklocs().tolist()
        found[name + "_ticks"] = [_number(one, is_date) for one in ticks]
        found[name + "_tick_labels"] = [one.get_text() for one in axis.get_ticklabels()]
        found[name + "_scale"] = "datetime" if is_date else _scale(axis)
    return found


def _scale(axis):
    kind = type(axis.get_major_formatter()).__name__
    return "categorical" if kind == "StrCategoryFormatter" else axis.get_scale()


def _number(value, is_date):
    if is_date:
        from matplotlib.dates import num2date

        return num2date(value).isoformat()
    value = float(value)
    return value if math.isfinite(value) else None


def _series(label, points, axes):
    dates = ["Date" in type(a.get_major_formatter()).__name__ for a in (axes.xaxis, axes.yaxis)]
    names = [_categories(axis) for axis in (axes.xaxis, axes.yaxis)]
    told = []
    for point in points[:MOST_POINTS]:
        pair = [names[at].get(one, None) or _number(one, dates[at]) for at, one in enumerate(point)]
        if None not in pair:
            told.append(pair)
    return {"label": _label(label), "points": told}


def _categories(axis):
    """The texts that stand for numbers on an axis of texts."""
    units = getattr(axis, "units", None)
    mapping = getattr(units, "_mapping", None) or {}
    return {float(number): text for text, number in mapping.items()}


def _label(label):
    label = str(label)
    return "" if label.startswith("_") else label


def _bars(axes, containers):
    names = {}
    upright = _is_upright(containers)
    axis = axes.xaxis if upright else axes.yaxis
    for tick, text in zip(axis.get_ticklocs(), axis.get_ticklabels()):
        names[round(float(tick), 6)] = text.get_text()
    names.update(_categories(axis))
    told = []
    for container in containers:
        for bar in container.patches[:MOST_POINTS]:
            if upright:
                middle, size = bar.get_x() + bar.get_width() / 2, bar.get_height()
            else:
                middle, size = bar.get_y() + bar.get_height() / 2, bar.get_width()
            label = names.get(round(float(middle), 6)) or "%g" % middle
            group = _label(container.get_label())
            told.append({"label": label, "group": group, "value": _number(size, False)})
    return told


def _is_upright(containers):
    orientation = getattr(containers[0], "orientation", None)
    return orientation != "horizontal"


def _slice(axes, wedge):
    texts = [one.get_text() for one in axes.texts]
    label = _label(wedge.get_label()) or (texts[0] if texts else "")
    return {"label": label, "angle": abs(wedge.theta2 - wedge.theta1), "radius": wedge.r}


def _boxes(axes):
    """matplotlib draws a box of five lines or, filled, of a patch and its lines; the quartiles are
    the corners of the box, the median a line within it."""
    from matplotlib.patches import PathPatch

    patches = [one for one in axes.patches if isinstance(one, PathPatch)]
    lines = list(axes.lines)
    boxes = [_corners(one.get_path().vertices.tolist()) for one in patches]
    boxes += [_corners(one.get_xydata().tolist()) for one in lines if _is_box(one)]
    told = []
    for at, (left, right, low, high) in enumerate(boxes):
        middle = (left + right) / 2
        inside, median, outliers = [low, high], (low + high) / 2, []
        for line in lines:
            points = line.get_xydata().tolist()
            if _is_box(line) or not points:
                continue
            xs, ys = [one[0] for one in points], [one[1] for one in points]
            if not left - 1e-9 <= sum(xs) / len(xs) <= right + 1e-9:
                continue
            if line.get_linestyle() == "None":
                outliers += ys
            elif len(set(ys)) == 1 and low <= ys[0] <= high and len(ys) == 2:
                median = ys[0]
            else:
                inside += ys
        told.append(
            {
                "label": _box_label(axes, middle, at),
                "min": min(inside),
                "first_quartile": low,
                "median": median,
                "third_quartile": high,
                "max": max(inside),
                "outliers": outliers,
            }
        )
    return told


def _is_box(line):
    points = line.get_xydata().tolist()
    return len(points) == 5 and points[0] == points[4] and len({one[0] for one in points}) == 2


def _corners(points):
    xs, ys = [one[0] for one in points], [one[1] for one in points]
    return min(xs), max(xs), min(ys), max(ys)


def _box_label(axes, middle, at):
    for tick, text in zip(axes.get_xticks(), axes.get_xticklabels()):
        if abs(float(tick) - middle) < 1e-6:
            return text.get_text()
    return str(at + 1)
