"""The site: ``python -m sphinx -W docs site`` (needs the extra ``docs``; nothing is downloaded)."""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(ROOT), str(HERE / "_ext")]
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
)  # notebooks' kernels
os.environ.setdefault("MPLBACKEND", "Agg")

import g287stats  # noqa: E402

project = "g287stats"
author = "The g287stats developers"
copyright = f"2026, {author}"
version = release = g287stats.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_design",
    "sphinx_copybutton",
    "reference",
]
root_doc = "index"
exclude_patterns = ["_build", "_ext", "**/.ipynb_checkpoints"]
suppress_warnings = ["myst.xref_missing"]  # headings of GitHub; internal links are checked by tests/test_site.py

myst_enable_extensions = ["colon_fence", "dollarmath", "attrs_block"]
myst_heading_anchors = 3
nb_execution_mode = "cache" if os.environ.get("G287STATS_DOCS_CACHE") else "force"
nb_execution_cache_path = os.environ.get("G287STATS_DOCS_CACHE", "")
nb_execution_timeout = 180
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True

add_module_names = False
autodoc_typehints = "none"  # types stand in the docstrings, with shapes and units
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False
napoleon_use_ivar = True

html_theme = "pydata_sphinx_theme"
html_title = f"g287stats {version}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "header_links_before_dropdown": 6,
    "footer_start": ["copyright"],
    "footer_end": [],
    "pygments_light_style": "tango",
    "secondary_sidebar_items": ["page-toc"],
}
html_sidebars = {"index": []}
