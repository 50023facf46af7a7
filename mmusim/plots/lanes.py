"""A timeline as a picture: one lane per vCPU, coloured by its state, and mmu_lock below."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from mmusim.plots.causes import COLOURS, colour_of
from mmusim.plots.style import WIDTH, in_style
from mmusim.timeline.record import GUEST, Timeline, held, queue_lengths
from mmusim.trace.records import HOST

LOCK: Final = {"host": "#000000", "vCPU for write": "#7a7a7a", "vCPUs for read": "#c8c8c8"}
_INVISIBLE = 1 / 3000  # of the width: narrower slices of one state are drawn as one

Bars = dict[str, list[tuple[float, float]]]


@in_style
def timeline(t: Timeline) -> Figure:
    """Draw a timeline: phases of the host, windows, vCPUs, holders of mmu_lock and its queue."""
    vcpus = len(t.vcpus)
    lanes = 0.28 * min(max(vcpus, 3), 24)
    strips = [0.3] * bool(t.windows)  # of the windows, if there are any
    figure = Figure(figsize=(WIDTH, 2.3 + lanes + sum(strips)), layout="constrained")
    ratios = [0.35, *strips, lanes, 0.3, 0.75]
    phases, *windows, guest, lock, queue = figure.subplots(
        len(ratios), 1, sharex=True, height_ratios=ratios
    )
    scale, unit = time_unit(t.end_ns - t.start_ns)
    phase_strip(phases, t, scale)
    for ax in windows:
        window_strip(ax, t, scale)
    states = _vcpus(guest, t, scale)
    holders = _lock(lock, t, scale)
    _queue(queue, t, scale)
    for ax in (phases, *windows, guest, lock):
        ax.tick_params(bottom=False, labelbottom=False)
    for ax in (phases, *windows, guest, lock, queue):
        ax.grid(visible=False)
        for side in ("top", "right", "left", "bottom"):
            ax.spines[side].set_visible(ax is queue and side in ("left", "bottom"))
    queue.set_xlim(t.start_ns / scale, t.end_ns / scale)
    queue.set_xlabel(f"simulated time ({unit})")
    figure.suptitle(f"{t.policy}, seed {t.seed}", fontsize="medium", x=0.01, ha="left")
    handles = [Patch(color=colour_of(state), label=state.replace("_", " ")) for state in states]
    handles += [Patch(color=LOCK[mode], label=f"mmu_lock: {mode}") for mode in holders]
    figure.legend(handles=handles, loc="outside lower center", ncols=5, fontsize="x-small")
    return figure


def time_unit(span_ns: int) -> tuple[float, str]:
    """Return the unit for an axis of this length, in ns, and its name."""
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if span_ns >= 2 * size:
            return size, unit
    return 1.0, "ns"


def phase_strip(ax: Axes, t: Timeline, scale: float) -> None:
    """Draw what the host thread does, with names where there is room."""
    span = t.end_ns - t.start_ns
    for number, phase in enumerate(t.phases):
        start, end = max(phase.start_ns, t.start_ns), min(phase.end_ns, t.end_ns)
        if end <= start:
            continue
        working = not phase.guest and phase.do not in ("sleep", "wait")
        colour = "0.35" if working else ("0.93" if number % 2 else "0.88")
        ax.axvspan(start / scale, end / scale, color=colour, linewidth=0)
        name = phase.name or phase.do
        if (end - start) / span > 0.011 * len(name):
            ax.text(
                (start + end) / 2 / scale, 0.5, name, ha="center", va="center", fontsize="x-small",
                color="white" if working else "0.2", clip_on=True,
            )  # fmt: skip
    ax.set_ylim(0, 1)
    ax.set_yticks([0.5], ["host thread"])
    ax.tick_params(left=False)


def window_strip(ax: Axes, t: Timeline, scale: float) -> None:
    """Draw the windows, which may overlap, one above the other with their names."""
    for number, window in enumerate(t.windows):
        start, end = max(window.start_ns, t.start_ns), min(window.end_ns, t.end_ns)
        box = _box(start / scale, end / scale, number + 0.1, number + 0.9)
        ax.add_collection(PolyCollection([box], facecolors="#56b4e9", linewidths=0))
        ax.text(
            start / scale, number + 0.5, f" {window.name}", va="center", fontsize="xx-small",
            color="0.1", clip_on=True,
        )  # fmt: skip
    ax.set_ylim(len(t.windows), 0)
    ax.set_yticks([len(t.windows) / 2], ["windows"])
    ax.tick_params(left=False)


def _vcpus(ax: Axes, t: Timeline, scale: float) -> list[str]:
    """Draw a lane a vCPU; return the states there are, in the order of the legend."""
    narrow = (t.end_ns - t.start_ns) * _INVISIBLE
    shapes: dict[str, list[list[tuple[float, float]]]] = {}
    for number, lane in enumerate(t.vcpus):
        bars: Bars = {}
        for s in lane:
            bars.setdefault(s.state, []).append((s.start_ns, s.end_ns))
        for state, spans in bars.items():
            shapes.setdefault(state, []).extend(
                _box(start / scale, end / scale, number + 0.1, number + 0.9)
                for start, end in _joined(spans, narrow if state != GUEST else 0)
            )
    order = [GUEST, "idle", *(s for s in COLOURS if s not in (GUEST, "idle"))]
    states = [s for s in order if s in shapes] + sorted(set(shapes) - set(order))
    for state in states:
        ax.add_collection(PolyCollection(shapes[state], facecolors=colour_of(state), linewidths=0))
    ax.set_ylim(len(t.vcpus), 0)
    step = -(-len(t.vcpus) // 16)
    shown = range(0, len(t.vcpus), step)
    ax.set_yticks([n + 0.5 for n in shown], [f"vCPU {n}" for n in shown])
    ax.tick_params(left=False)
    return states


def _joined(
    spans: Sequence[tuple[float, float]], narrow: float
) -> Iterable[tuple[float, float]]:  # fmt: skip
    """Make slices wide enough to be seen, and join those that then touch."""
    last: tuple[float, float] | None = None
    for start, end in spans:
        wide = max(end, start + narrow)
        if last is not None and start <= last[1]:
            last = last[0], max(last[1], wide)
            continue
        if last is not None:
            yield last
        last = start, wide
    if last is not None:
        yield last


def _box(left: float, right: float, low: float, high: float) -> list[tuple[float, float]]:
    return [(left, low), (right, low), (right, high), (left, high)]


def _lock(ax: Axes, t: Timeline, scale: float) -> list[str]:
    """Draw who holds mmu_lock; return the holders there are, in the order of the legend."""
    narrow = (t.end_ns - t.start_ns) * _INVISIBLE
    bars: Bars = {mode: [] for mode in LOCK}
    for h in held(t.holds):
        mode = "host" if HOST in h.by else "vCPUs for read" if h.shared else "vCPU for write"
        bars[mode].append((h.start_ns, h.end_ns))
    for mode in reversed(LOCK):
        boxes = [_box(a / scale, b / scale, 0.1, 0.9) for a, b in _joined(bars[mode], narrow)]
        ax.add_collection(PolyCollection(boxes, facecolors=LOCK[mode], linewidths=0))
    ax.set_ylim(0, 1)
    ax.set_yticks([0.5], ["mmu_lock"])
    ax.tick_params(left=False)
    return [mode for mode in LOCK if bars[mode]]


def _queue(ax: Axes, t: Timeline, scale: float) -> None:
    steps: list[Any] = [(t.start_ns, 0), *queue_lengths(t.holds)]
    steps.append((max(t.end_ns, steps[-1][0]), steps[-1][1]))
    times = [at / scale for at, _ in steps]
    ax.fill_between(times, [n for _, n in steps], step="post", color="#d55e00", linewidth=0.4)
    most = max((length for (_, length), _ in pairwise(steps)), default=0)
    ax.set_ylim(0, max(1, most) * 1.08)
    ax.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    ax.set_ylabel("waiting for\nmmu_lock", fontsize="small")
