"""How the documentation site is built: `make docs`; `services.cli.reference` puts it in place."""

project = "Harmony"
author = "The Harmony authors"
extensions = ["myst_parser"]
root_doc = "index"
html_theme = "furo"
html_title = "Harmony"
html_copy_source = False
html_show_sphinx = False
html_search_scorer = "docs/scorer.js"
html_extra_path = ["extra"]
html_favicon = "docs/images/harmony.svg"
exclude_patterns = ["extra", "deploy", "helm", "services"]
# the anchors that the repository's pages use, as GitHub makes them
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
# code blocks without a language are shell sessions and plain text: not coloured
highlight_language = "none"
