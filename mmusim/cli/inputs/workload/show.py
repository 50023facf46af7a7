"""``mmusim workload show``: one workload or trace."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer

from mmusim.base.units import PAGE, show_bytes, show_ns
from mmusim.cli.shared.options import AsJson
from mmusim.cli.shared.output import table
from mmusim.cli.shared.workload_views import dirty_rates, rated_of, use_of, working_sets
from mmusim.config.vm_and_host import MOST_SEED


def show(
    name: Annotated[str, typer.Argument(help="A pattern, a workload file or a trace file.")],
    memory: Annotated[str, typer.Option(help="Memory of one vCPU.")] = "64MiB",
    seed: Annotated[int, typer.Option(min=0, max=MOST_SEED, help="The seed.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Show parameters, footprint, write share, and the writable working set by window length."""
    rated = rated_of(name)
    if rated is not None:
        facts = {**rated.model_dump(mode="json", exclude_none=True), "memory": memory}
        rows = dirty_rates(rated, memory)
        if not as_json:
            for key, value in facts.items():
                typer.echo(f"{key.replace('_', ' ')}: {value}")
        table("What a guest that does not stall dirties", rows, as_json, facts=facts)
        return
    use = use_of(name, memory, seed)
    written, touched = working_sets(use)
    rows = [
        {
            f"window_({use.unit})": window,
            **({"about": show_ns(window * use.unit_ns)} if use.unit_ns else {}),
            "written_pages": written[window],
            "touched_pages": touched[window],
        }
        for window in written
    ]
    facts = {
        **use.facts,
        "accesses": len(use.page),
        "footprint": show_bytes(len(np.unique(use.page)) * PAGE),
        "written": show_bytes(len(np.unique(use.page[use.write])) * PAGE),
        "write_share": f"{np.mean(use.write):.4g}",
    }
    if not as_json:
        for key, value in facts.items():
            typer.echo(f"{key.replace('_', ' ')}: {value}")
    table("Mean number of distinct pages in a window", rows, as_json, facts=facts)
