"""The site's settings, for Sphinx: `make.py` beside it lays out the sources and builds it."""

from importlib.metadata import version as version_of

project = "Kafka Lab"
author = "the authors of Kafka Lab"
copyright = "code MIT, text CC BY 4.0"
release = version_of("kafka-lab")
language = "en"

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
nb_execution_mode = "off"  # lessons were run before, by the lab's own runner
nb_ipywidgets_js = {}  # a page asks no other host for anything
html_math_renderer = None
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3
suppress_warnings = [
    "myst.header",  # a lesson is cut into slides: a heading may be the first of its cell
    "mystnb.unknown_mime_type",
    "myst.xref_missing",  # links of a lesson to a file of the repository
]
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the docstrings say kinds and units
napoleon_google_docstring = True
napoleon_use_ivar = True  # attributes are described where they are properties, and not twice

html_theme = "sphinx_book_theme"
html_title = "Kafka Lab"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "home_page_in_toc": True,
    "navbar_persistent": [],  # the search stands in the side bar
}
