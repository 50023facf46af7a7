"""How much of its time a vCPU could use, over the run."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mmusim.analysis.moments import utilisation as windows
from mmusim.base.units import show_ns
from mmusim.plots.lanes import phase_strip, time_unit
from mmusim.plots.style import INK, SERIES, in_style, key_below, sheet
from mmusim.timeline.record import Timeline


@in_style
def utilisation(t: Timeline, window_ns: int | None = None) -> Figure:
    """Draw the share of a sliding window that each vCPU could use, and that of the worst.

    Parameters
    ----------
    t : Timeline
        A run, or a part of it.
    window_ns : int, optional
        Length of the window; a fiftieth of the timeline by default.

    Raises
    ------
    ValueError
        If the window does not fit into the timeline.
    """
    length = window_ns or max(1, (t.end_ns - t.start_ns) // 50)
    data = windows(t, length)
    figure, axes = sheet(3.6, 2, 1, sharex=True, height_ratios=[0.13, 1])
    strip: Axes = axes[0, 0]
    ax: Axes = axes[1, 0]
    scale, unit = time_unit(t.end_ns - t.start_ns)
    phase_strip(strip, t, scale)
    for number, (_, one) in enumerate(data.groupby("vcpu")):
        x, y = _with_gaps(one["time_ns"].to_numpy(float), one["utilisation"].to_numpy(float))
        ax.plot(x / scale, y, linewidth=0.7, color=SERIES[0], alpha=0.55,
                label="each vCPU" if number == 0 else "")  # fmt: skip
    worst = data.groupby("time_ns")["utilisation"].min()
    x, y = _with_gaps(worst.index.to_numpy(float), worst.to_numpy(float))
    ax.plot(x / scale, y, linewidth=1.6, color=SERIES[1], label="the worst of them")
    low = float(data["utilisation"].min()) if len(data) else 1.0
    ax.axhline(low, color=INK, linewidth=0.8, linestyle=":", label=f"least: {low:.3g}")
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlim(t.start_ns / scale, t.end_ns / scale)
    ax.set_xlabel(f"simulated time ({unit}), middle of the window")
    ax.set_ylabel(f"share of {show_ns(length)}\nthat is not lost")
    strip.tick_params(bottom=False, labelbottom=False)
    strip.grid(visible=False)
    for side in strip.spines.values():
        side.set_visible(False)
    figure.suptitle(f"{t.policy}, seed {t.seed}", fontsize="medium", x=0.01, ha="left")
    key_below(figure, ax)
    return figure


def _with_gaps(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Break a line where windows are missing: no vCPU ran there all the time."""
    if len(x) < 3:
        return x, y
    steps = np.diff(x)
    holes = np.flatnonzero(steps > 1.5 * np.median(steps)) + 1
    return np.insert(x, holes, np.nan), np.insert(y, holes, np.nan)
