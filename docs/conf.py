"""How Sphinx builds the site (`make docs`). It uses no network."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "mmusim"
author = "The mmusim developers"
copyright = author
release = version = installed_version("mmusim")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_design",
    "generated_pages",
]
root_doc = "index"
exclude_patterns = ["_build"]
source_suffix = {".md": "markdown"}

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
# Two packages may define the same name; a link in a signature then leads to the first.
suppress_warnings = ["ref.python"]

default_role = "literal"
autodoc_default_options = {"members": True, "member-order": "bysource", "show-inheritance": True}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = True
napoleon_google_docstring = False
napoleon_use_rtype = False

html_theme = "pydata_sphinx_theme"
html_title = f"mmusim {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = True
html_sidebars = {"tutorial/index": [], "changelog": []}  # single pages
html_theme_options = {
    "logo": {"text": "mmusim"},
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "navbar_align": "left",
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "secondary_sidebar_items": ["page-toc"],
}
