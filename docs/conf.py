"""Sphinx configuration. Everything is rendered at build time: the pages need no network and no JavaScript."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# `python -m sphinx` puts the checkout first, whose package may have no compiled part: an installed one is preferred.
sys.path.sort(key=lambda entry: Path(entry).resolve() == HERE.parent)
sys.path.insert(0, str(HERE / "_ext"))

import closedform_wsss  # noqa: E402

project = "closedform-wsss"
author = "The closedform-wsss authors"
copyright = author
release = version = closedform_wsss.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx.ext.napoleon",
    "myst_parser",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "command_help",
    "mathml",
    "result_tables",
]
source_suffix = {".rst": "restructuredtext"}
exclude_patterns = ["_build", "sg_execution_times.rst", "gallery/sg_execution_times.rst"]
default_role = "code"
# Torch's documentation is on the network, which a build does without.
# Types of attributes that have no page here.
nitpick_ignore = [
    ("py:class", name)
    for name in ("torch.Tensor", "numpy.ndarray", "numpy.dtype", "numpy.uint8", "numpy.float32", "numpy.float64")
]

html_theme = "furo"
html_title = f"closedform-wsss {release}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False

# What is copied has no prompts and no output.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Docstrings say type and shape of every argument in words; signatures stay readable without annotations.
autodoc_typehints = "none"
autodoc_mock_imports = ["lightning", "transformers"]
autodoc_member_order = "bysource"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
napoleon_custom_sections = [("Reference", "References"), "Shape"]

# Every page of the gallery runs when the documentation is built; one that fails fails the build.
sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "abort_on_example_error": True,
    "within_subsection_order": "ExampleTitleSortKey",
    "reference_url": {"closedform_wsss": None},
    "backreferences_dir": None,
    "capture_repr": (),
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 1e9,
    "image_srcset": ["2x"],
    "copyfile_regex": r".*\.rst",
    "nested_sections": False,
}

# `python -m sphinx -b doctest docs docs/_build/doctest` runs every example, those in docstrings with these names.
doctest_global_setup = """
import warnings
import numpy as np
import torch
import closedform_wsss
from closedform_wsss.functional import *
from closedform_wsss.io import *
from closedform_wsss.metrics import *
from closedform_wsss.nn import *
torch.manual_seed(0)
"""
