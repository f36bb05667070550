"""How the site is built: `make site`, or `sphinx-build -c docs . build/site` in the repository's root.

The source folder is the repository's root, so that the notebooks are pages where they lie and a link from one file to
another holds here as it does on a shelf of files. Nothing is executed, and no page asks another host for anything.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from repository import find_repository

project, author, copyright = "lambdalab", "the lambdalab authors", "the lambdalab authors; MIT licence"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.githubpages",  # or GitHub Pages would leave out _static
    "sphinx.ext.napoleon",
    "sphinx_book_theme",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxcontrib.bibtex",
    "sphinx-mathjax-offline",
    "docstrings",
    "lectures",
    "pages",
]

root_doc = "docs/index"
include_patterns = ["docs/**.md", "notebooks/**.ipynb", "README.md", "CONTRIBUTING.md", "data/README.md"]
# Folders are walked before anything is chosen, so the large ones are named.
exclude_patterns = [".*", "**/.*", "build", "dist", "runs", "data/cache", "data/results"]
exclude_patterns += ["notebooks/exercises/solutions", "notebooks/exercises/source"]

nb_execution_mode, nb_render_markdown_format = "off", "myst"
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
bibtex_bibfiles = ["references.bib"]
autodoc_member_order, autodoc_inherit_docstrings = "bysource", False
autodoc_typehints = "signature"
python_use_unqualified_type_names = True
add_module_names = False
napoleon_numpy_docstring, napoleon_use_ivar = False, True
copybutton_selector = "div.cell_input div.highlight pre, div:not(.cell_output) > div.highlight pre"
copybutton_exclude = ".linenos, .gp, .go"

html_theme, html_title = "sphinx_book_theme", "lambdalab"
html_static_path, html_extra_path = ["_static"], ["_root"]
html_css_files, html_js_files = ["site.css"], ["site.js"]
html_show_sphinx = False
html_context = {"default_mode": "auto"}  # light or dark as the reader's system is, until the reader chooses
html_theme_options = {
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "footer_content_items": ["copyright.html"],
    "navbar_persistent": [],  # the search field is in the sidebar
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
repository = find_repository()
if repository:
    html_theme_options |= {
        "repository_url": f"https://github.com/{repository.name}",
        "repository_branch": repository.branch,
        "use_source_button": True,
        "launch_buttons": {
            "colab_url": "https://colab.research.google.com",
            "binderhub_url": "https://mybinder.org",
            "notebook_interface": "jupyterlab",
        },
    }
