"""Notebooks run from the first cell to the last, and are stored without output."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from mmusim.engine import simulate
from mmusim.plan.make import make_plan
from mmusim.tests.support.places import ROOT
from mmusim.tests.support.settings import setting

NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))


def read(path: Path) -> Any:
    return nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def compiled() -> None:
    """Compile the engine if there is one: a state of the code needs that once, and it is kept."""
    phases = [{"do": "write"}, {"do": "enable-logging"}, {"do": "read"}]
    simulate(make_plan(setting(phases), "lazy-drop", 1))


@pytest.mark.filterwarnings("ignore")  # Jupyter's own
@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path) -> None:
    """Every cell within a minute, and it comes to a decision."""
    notebook = read(path)
    assert not any(setting.get("outputs") for setting in notebook.settings), (
        "store it without outputs"
    )
    client = NotebookClient(notebook, timeout=300, resources={"metadata": {"path": path.parent}})
    client.execute()
    said = [
        output.get("text", "")
        for setting in notebook.settings
        for output in setting.get("outputs", [])
        if output["output_type"] == "stream"
    ]
    assert any("decision: " in text for text in said)
    pictures = [
        output
        for setting in notebook.settings
        for output in setting.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert pictures, "figures are shown and not named"


def test_there_are_five_and_they_define_no_model_logic() -> None:
    assert len(NOTEBOOKS) >= 5
    for path in NOTEBOOKS:
        notebook = read(path)
        code = "\n".join(
            setting.source for setting in notebook.settings if setting.cell_type == "code"
        )
        assert "def " not in code, path
        assert "class " not in code, path
        assert "## Decision" in "".join(c.source for c in notebook.settings), path
        assert path.stat().st_size < 1_000_000
