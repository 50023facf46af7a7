"""``mmusim validate --recorded RUNS --to FOLDER``: a page of a live machine beside its model."""

from __future__ import annotations

import tempfile
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import jinja2
import typer

from mmusim.base.files import whole
from mmusim.cli.shared.live_validation import (
    Options,
    measured_profile,
    miss_rows,
    row,
    sentences,
)
from mmusim.cli.shared.published_times import markdown
from mmusim.config.host import shipped_profiles
from mmusim.validation.live_grid import GridSetting, held_out_grid, read_grid
from mmusim.validation.live_runs import RunOf, load_runs, simulate_all
from mmusim.validation.live_score import METRICS, TARGETS, PassScore, score_all, summarise

SHIPPED: Final = (
    "The grid that comes with mmusim",
    "These settings were looked at while the model was changed.",
)
HELD_OUT: Final = (
    "Held out",
    "These settings (`mmusim/validation/live_held_out.toml`) were drawn by a seeded generator "
    "before anything was measured, and not looked at before the model was finished.",
)
PLAIN: Final = "without kicks in flight, dirty words, levels, hits by pages and exits"
"""The profile as probes before this one would have given it."""


def write_page(options: Options, to: Path) -> None:
    """Simulate what was recorded, with the profile and with a plain one, and write the page."""
    assert options.recorded is not None
    profile = measured_profile("validate", options.host)
    runs, facts = load_runs(options.recorded)
    measured = [run for run in runs if run.kind == "measured"]
    seeds = sorted({run.seed for run in measured})[: options.repeats]
    known = {run.setting for run in measured}
    grids = []
    with tempfile.TemporaryDirectory() as folder:
        plain = plain_profile(options.host, Path(folder))
        for (title, text), settings in (
            (SHIPPED, read_grid()),
            (HELD_OUT, read_grid(held_out_grid())),
        ):
            some = [setting for setting in settings if setting.name in known]
            if some:
                each = {
                    name: scored(options, facts, measured, some, path, seeds)
                    for name, path in (("as measured", options.host), (PLAIN, str(plain)))
                }
                grids.append(section(title, text, each, facts))
    words = (
        f"mmusim validate --recorded {options.recorded} \\\n        --host {options.host} "
        f"--to {to} --repeats {len(seeds)}"
    )
    text = document(
        profile=profile, machine=facts, measured=len({run.seed for run in measured}),
        simulated=len(seeds), command=words, grids=grids,
    )  # fmt: skip
    to.mkdir(parents=True, exist_ok=True)
    name = f"live-{profile.name}.md"
    with whole(to / name) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    typer.echo(f"written: {name} in {to}", err=True)


def scored(
    options: Options, facts: dict[str, Any], measured: Sequence[RunOf],
    settings: Sequence[GridSetting], profile: str, seeds: Sequence[int],
) -> list[PassScore]:  # fmt: skip
    """Simulate settings with a profile and score every pass."""
    typer.echo(f"simulating {len(settings)} settings for {len(seeds)} seeds", err=True)
    simulated = simulate_all(
        settings, facts["base"], facts["mmu"], profile, seeds, workers=options.workers,
        scheduler=options.scheduler, tell=lambda text: typer.echo(text, err=True),
    )  # fmt: skip
    return score_all(settings, [*measured, *simulated])


def plain_profile(host: str, folder: Path) -> Path:
    """Write a measured profile without what tells one virtual machine or access from another."""
    path = shipped_profiles().get(host) or Path(host)
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    for key in ("curve", "levels", "together"):
        data["measurement"].pop(key, None)
    for cost in ("c_in_flight", "c_dirty_word"):
        data["costs"].setdefault(cost, {"provenance": "assumed", "note": "left out"})
        data["costs"][cost]["value"] = "0ns"
    import tomli_w

    written = folder / f"{path.stem}.toml"
    written.write_text(tomli_w.dumps(data), encoding="utf-8")
    return written


def section(
    title: str, text: str, each: dict[str, list[PassScore]], facts: dict[str, Any]
) -> dict[str, Any]:
    """Return what the page says of a grid."""
    scores = next(iter(each.values()))
    return {
        "title": title, "text": text,
        "summary": markdown([summary_row(name, some) for name, some in each.items()]),
        "sentences": sentences(scores, facts), "passes": markdown([row(s) for s in scores]),
        "misses": markdown([r for r in miss_rows(scores) if r["metric"] in TARGETS]),
        "different": [f"{s.setting}, {s.which}: {d}" for s in scores for d in s.differences],
    }  # fmt: skip


def summary_row(name: str, scores: Sequence[PassScore]) -> dict[str, Any]:
    """Return a row of how many passes were met, and how many a sceptic cannot tell apart."""
    found = summarise(scores)
    return {
        "profile": name, "passes": found.passes,
        "exact counts": f"{found.exact} of {found.countable}",
        **{metric: f"{found.met[metric][1] / found.passes:.0%}" for metric in METRICS},
        "sceptic": f"{found.indistinguishable} ({found.indistinguishable_within})",
    }  # fmt: skip


def document(**facts: Any) -> str:
    """Return the text of the page."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    text = (files("mmusim.validation") / "live.md.jinja").read_text(encoding="utf-8")
    return environment.from_string(text).render(**facts)
