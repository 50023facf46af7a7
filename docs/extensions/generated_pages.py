"""Pages that the program writes about itself: command line, experiment files, API."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, get_origin

import api_pages
import command_line
import experiment_files
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class CommandLine(SphinxDirective):
    """Every verb of `mmusim` with its options."""

    def run(self) -> list[nodes.Node]:
        """Parse a section for each verb as if it stood in the page."""
        return self.parse_text_to_nodes(command_line.markdown(), allow_section_headings=True)


class ExperimentFiles(SphinxDirective):
    """Every key of an experiment file."""

    def run(self) -> list[nodes.Node]:
        """Parse a section for each table as if it stood in the page."""
        return self.parse_text_to_nodes(experiment_files.markdown(), allow_section_headings=True)


def _is_alias(
    app: Sphinx, what: str, name: str, member: object, skip: bool, options: object
) -> bool | None:
    """Leave out aliases of annotated types: Sphinx would print their whole definition as text."""
    del app, what, name, skip, options
    return True if get_origin(member) is Annotated else None


def _write_api_pages(app: Sphinx) -> None:
    api_pages.write(Path(app.srcdir) / "reference" / "api")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives, and write the pages of the API before Sphinx looks for pages."""
    app.add_directive("mmusim-command-line", CommandLine)
    app.add_directive("mmusim-experiment-files", ExperimentFiles)
    app.connect("builder-inited", _write_api_pages)
    app.connect("autodoc-skip-member", _is_alias)
    return {"version": "1", "parallel_read_safe": True}
