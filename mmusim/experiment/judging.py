"""The claims of an experiment, judged by its runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from mmusim.comparison.compare import MODES_ELSEWHERE
from mmusim.comparison.exposure import no_verdict
from mmusim.comparison.pairing import Runs, UnlikeRunsError
from mmusim.comparison.undecided import undecided
from mmusim.comparison.verdicts import Verdict, judge
from mmusim.config.claims import Claim
from mmusim.config.experiment import Experiment
from mmusim.experiment.outcome import Lacking, SettingResult
from mmusim.metrics.few_beyond import least_known
from mmusim.vocabulary import METRICS
from mmusim.vocabulary.metrics import Scope


def verdicts_of(
    experiment: Experiment, results: Sequence[SettingResult], lacking: Sequence[Lacking]
) -> list[Verdict]:
    """Return the verdict on each claim in each setting that it is about, in the file's order.

    Parameters
    ----------
    experiment : Experiment
        The file with the claims.
    results : sequence of SettingResult
        Settings with runs.
    lacking : sequence of Lacking
        Settings with too few runs; claims about them are inconclusive.
    """
    verdicts = []
    for claim in experiment.claims:
        about = [result for result in results if claim.concerns(result.setting.labels)]
        verdicts += [_verdict(claim, result, len(about)) for result in about]
        verdicts += [
            undecided(claim, one.setting, one.reason, one.seeds)
            for one in lacking
            if claim.concerns(one.setting.labels)
        ]
    return with_modes_of_others(verdicts)


def with_modes_of_others(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """Mark what other settings show: a rare mode of the same quantity in two of them or more.

    These seeds may have missed it, so the claim is inconclusive there, as the outcome of the same
    comparison is (:func:`mmusim.comparison.compare.corrected`).
    """
    seen: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    for one in verdicts:
        if one.measured.mark == "seeds set apart":
            seen[one.metric, one.what, one.window].add(one.setting)
    return [
        replace(
            one,
            measured=replace(one.measured, mark="seeds set apart elsewhere"),
            outcome="inconclusive",
        )
        if not one.measured.mark and len(seen[one.metric, one.what, one.window]) >= MODES_ELSEWHERE
        else one
        for one in verdicts
    ]


def _verdict(claim: Claim, result: SettingResult, family: int) -> Verdict:
    setting, look = result.setting, result.look
    try:
        compared = _in_window(claim, result.compared)
        few = _says_little(claim, compared)
        if few:
            return undecided(claim, setting, few, len(look.seeds))
        return judge(claim, setting, compared, family, alpha=look.alpha)
    except UnlikeRunsError as error:
        return undecided(claim, setting, str(error), len(look.seeds))


def _in_window(claim: Claim, runs: Runs) -> Runs:
    """Return the runs with their metrics in the claim's window, if it names one."""
    if not claim.window:
        return runs
    if any(claim.window not in run.windows for rows in runs.values() for run in rows):
        raise UnlikeRunsError(f"the runs of this setting have no window {claim.window!r}")
    return {policy: [run.within(claim.window) for run in rows] for policy, rows in runs.items()}


def _says_little(claim: Claim, runs: Runs) -> str:
    """Return why the metric is weak evidence: few times beyond a quantile, or a policy without a
    log.
    """
    rows = [run for side in claim.sides for run in runs[side]]
    of_the_guest = METRICS[claim.metric].scope is Scope.PHASE
    return least_known(rows, claim.metric) or (
        no_verdict(runs, *claim.sides) if of_the_guest else ""
    )
