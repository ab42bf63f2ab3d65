"""How the site is built: `make docs`. Nothing here needs the network."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

import paycollect

project = "paycollect"
copyright = "the paycollect developers"  # noqa: A001  the name that Sphinx reads
release = version = paycollect.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "docstrings", "llms"]
exclude_patterns = ["_build", "_ext", "_pictures"]
needs_sphinx = "7.4"

smartquotes = False

html_theme = "furo"
html_title = f"paycollect {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = True
html_show_sphinx = False

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3

# A single backtick in a docstring means code, as it does in Markdown.
default_role = "code"
toc_object_entries_show_parents = "hide"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
autodoc_default_options = {"members": True}
# Attributes are listed once, as fields: autodoc would describe each a second time.
napoleon_use_ivar = True
# Two public classes may have one name (`Clock`): a type in a signature is then linked to either.
suppress_warnings = ["ref.python"]
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
