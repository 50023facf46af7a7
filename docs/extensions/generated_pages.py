"""Pages that the program writes about itself: its command line, its experiment files, its API."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import api_pages
import command_line
import experiment_files
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Generated(SphinxDirective):
    """A directive whose content is Markdown that a function returns."""

    def markdown(self) -> str:
        """Return the content."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Parse the content as if it stood in the page."""
        return self.parse_text_to_nodes(self.markdown(), allow_section_headings=True)


class CommandLine(Generated):
    """Every verb of `mmusim` with its options."""

    def markdown(self) -> str:
        """Return a section for each verb."""
        return command_line.markdown()


class ExperimentFiles(Generated):
    """Every key of an experiment file."""

    def markdown(self) -> str:
        """Return a section for each table."""
        return experiment_files.markdown()


def _write_api_pages(app: Sphinx) -> None:
    api_pages.write(Path(app.srcdir) / "reference" / "api")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives, and write the pages of the API before Sphinx looks for pages."""
    app.add_directive("mmusim-command-line", CommandLine)
    app.add_directive("mmusim-experiment-files", ExperimentFiles)
    app.connect("builder-inited", _write_api_pages)
    return {"version": "1", "parallel_read_safe": True}
