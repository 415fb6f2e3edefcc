"""Sphinx configuration: Markdown pages, notebooks that are executed, a reference made from the code."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# Kernels of the notebooks run on this machine alone: no warnings of their sockets.
_profile = HERE / "_build" / "ipython" / "profile_default"
_profile.mkdir(parents=True, exist_ok=True)
(_profile / "ipython_kernel_config.py").write_text("get_config().IPKernelApp.log_level = 40\n", encoding="utf-8")
os.environ["IPYTHONDIR"] = str(_profile.parent)

_project = tomllib.loads((HERE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = "SpecRAN"
copyright = "the SpecRAN authors, Apache-2.0"
version = release = _project["version"]
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode"]
exclude_patterns = ["_build", "generators", "README.md"]
root_doc = "index"

# Markdown.
myst_enable_extensions = ["colon_fence", "deflist", "attrs_inline"]
myst_heading_anchors = 4

# Notebooks are run anew by each build and their outputs kept in the build folder alone.
nb_execution_mode = os.environ.get("SPECRAN_DOCS_NOTEBOOKS", "force")
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_merge_streams = True

# Python.
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": True}
autoclass_content = "class"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
add_module_names = False

# Looks: no font, script or style from elsewhere.
html_theme = "furo"
html_title = f"SpecRAN {release}"
html_static_path = ["_static"]
html_css_files = ["specran.css"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"
pygments_dark_style = "monokai"


def setup(app: Any) -> dict[str, Any]:
    """Make the generated pages before anything is read, and shorten signatures."""
    from docs.generators.pages import write_all
    from docs.generators.signatures import with_step_named

    def shorten(*documented: Any) -> tuple[str | None, str | None]:
        signature, returned = documented[-2:]
        return with_step_named(signature), with_step_named(returned)

    app.connect("builder-inited", lambda _: write_all(HERE / "generated"))
    app.connect("autodoc-process-signature", shorten)
    return {"parallel_read_safe": True}
