"""Settings of the site. `make site` stages the pages into site/_build/source, then builds them.

Nothing is fetched: no inventory of another project, no font, no script, no picture.
"""

import medmoe_lite

project = "medmoe-lite"
author = "the contributors of medmoe-lite"
project_copyright = "the contributors; code Apache-2.0, course text and data CC BY 4.0"
version = release = medmoe_lite.__version__
language = "en"

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "medmoe_lite.course.site.formulas",
    "medmoe_lite.course.site.docstrings",
]

# notebooks: shown as they are stored; nothing is run
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # widgets are stored as pictures, and the script would come from a network
nb_code_prompt_show = "Show the solution"
nb_code_prompt_hide = "Hide the solution"
nb_merge_streams = True

smartquotes = False  # what stands between quotes is often typed

# Markdown
myst_enable_extensions = ["attrs_block", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
highlight_language = "text"
suppress_warnings = ["misc.highlighting_failure"]  # Python with lines of IPython in it

# docstrings
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True

# links: each must lead somewhere; names of other packages have no page here
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!medmoe_lite\.).*")]

# HTML
html_theme = "pydata_sphinx_theme"
html_title = "medmoe-lite"
html_short_title = "medmoe-lite"
html_math_renderer = "mathml"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_show_sourcelink = False
html_copy_source = False
html_last_updated_fmt = None
html_theme_options = {
    "logo": {"text": "medmoe-lite"},
    "navbar_align": "left",
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "secondary_sidebar_items": ["page-toc"],
    "search_bar_text": "Search the course",
    "show_prev_next": True,
    "show_toc_level": 1,
    "navigation_with_keys": False,
    "back_to_top_button": False,
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
html_sidebars = {"index": [], "project/cite": []}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"
