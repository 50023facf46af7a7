"""The distance between predictions and published times, and the misses."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from mmusim.validation.fit import is_for_fitting
from mmusim.validation.predict import Times
from mmusim.validation.published import Figure, Run

CLOSE: Final = 1.5
"""A prediction within this factor counts as close."""
KNEE: Final = 1.5
"""A series leaves its plateau where it exceeds its first time by this factor."""


class Row(NamedTuple):
    """A published figure beside its prediction."""

    figure: Figure
    predicted: float  # seconds

    @property
    def ratio(self) -> float:
        """Predicted by published."""
        return self.predicted / self.figure.seconds

    @property
    def miss(self) -> bool:
        """Whether the prediction is further off than CLOSE."""
        return abs(math.log(max(self.ratio, 1e-9))) > math.log(CLOSE)


class Score(NamedTuple):
    """Figures of merit over the predicted rows."""

    rows: Sequence[Row]
    median: float  # exp of the median |log ratio|
    close: float  # share of the rows within CLOSE
    repeatability: float  # of the published figures: 90 % of repetitions differ by less
    pairs: int  # pairs of policies that differ by more than the repeatability
    disordered: Sequence[tuple[Row, Row]]  # of these, those in the wrong order
    knees: Sequence[Knee]
    points: Mapping[str, Sequence[Point]]  # by series, what a figure shows

    @property
    def ordered(self) -> int:
        """Pairs that come in the published order."""
        return self.pairs - len(self.disordered)


class Point(NamedTuple):
    """One number of vCPUs of a series."""

    vcpus: int
    published: float  # seconds
    predicted: float
    fitted: bool


class Knee(NamedTuple):
    """Where a policy's time begins to grow with the number of vCPUs; None: nowhere."""

    series: str
    published: int | None
    predicted: int | None
    figure: Figure  # where they part: of the first of the two; else the last of the series


def score(figures: Iterable[Figure], predicted: Mapping[Run, Mapping[str, Times]]) -> Score:
    """Compare every figure that was not fitted with its prediction."""
    everything = [
        Row(figure, predicted[figure.run][figure.phase].ns / 1e9)
        for figure in figures
        if figure.run is not None
    ]
    rows = [row for row in everything if not is_for_fitting(row.figure)]
    off = [abs(math.log(max(row.ratio, 1e-9))) for row in rows]
    limit = repeatability(everything)
    pairs = list(_pairs(everything, limit))
    return Score(
        rows=rows,
        median=math.exp(statistics.median(off)),
        close=sum(not row.miss for row in rows) / len(rows),
        repeatability=limit,
        pairs=len(pairs),
        disordered=[
            (one, two)
            for one, two in pairs
            if (one.predicted < two.predicted) != (one.figure.seconds < two.figure.seconds)
        ],
        knees=list(_knees(everything)),
        points={
            name: [
                Point(vcpus, row.figure.seconds, row.predicted, is_for_fitting(row.figure))
                for vcpus, row in points
            ]
            for name, points in series(everything).items()
        },
    )


def repeatability(rows: Sequence[Row]) -> float:
    """Return the factor by which 90 % of repetitions of one configuration differ less.

    From configurations that were published twice, of first passes: those of other phases were
    posted for different versions of a series.
    """
    values: dict[tuple[str, Run | None, str], list[float]] = {}
    for row in rows:
        figure = row.figure
        if figure.phase == "iteration 1 dirty memory" and figure.id.startswith("B"):
            key = figure.variant, figure.run, figure.phase
            values.setdefault(key, []).append(figure.seconds)
    logs = sorted(abs(math.log(pair[0] / pair[1])) for pair in values.values() if len(pair) == 2)
    return math.exp(logs[math.ceil(0.9 * len(logs)) - 1]) if logs else 1.0


def _pairs(rows: Sequence[Row], limit: float) -> Iterable[tuple[Row, Row]]:
    """Pairs of policies in one setting of one source that differ by more than the limit."""
    settings: dict[tuple[str, str, str], list[Row]] = {}
    for row in rows:
        settings.setdefault((row.figure.id, row.figure.metric, row.figure.setup), []).append(row)
    for group in settings.values():
        for number, one in enumerate(group):
            for two in group[number + 1 :]:
                apart = abs(math.log(one.figure.seconds / two.figure.seconds)) > math.log(limit)
                if apart and one.figure.run != two.figure.run:
                    yield one, two


def _knees(rows: Sequence[Row]) -> Iterable[Knee]:
    for name, points in series(rows).items():
        if len(points) >= 4:
            published = knee([(vcpus, row.figure.seconds) for vcpus, row in points])
            predicted = knee([(vcpus, row.predicted) for vcpus, row in points])
            found = [vcpus for vcpus in (published, predicted) if vcpus is not None]
            first = min(found) if published != predicted else points[-1][0]
            figure = next(row.figure for vcpus, row in points if vcpus == first)
            yield Knee(name, published, predicted, figure)


def series(rows: Iterable[Row]) -> dict[str, list[tuple[int, Row]]]:
    """Group first passes that write everything by source and policy, each with its vCPUs."""
    found: dict[str, list[tuple[int, Row]]] = {}
    for row in rows:
        run = row.figure.run
        if run is not None and row.figure.phase == "iteration 1 dirty memory" and run.writes == 100:
            name = f"{row.figure.id} {run.policy.partition('+')[2]}, {row.figure.variant}"
            found.setdefault(name, []).append((run.vcpus, row))
    return {name: sorted(points, key=lambda point: point[0]) for name, points in found.items()}


def knee(points: Sequence[tuple[int, float]]) -> int | None:
    """Return the first number of vCPUs whose time exceeds that of the first by KNEE."""
    first = points[0][1]
    return next((vcpus for vcpus, seconds in points if seconds > KNEE * first), None)
