"""How the documentation site is built: `make docs`; `services.cli.reference` puts it in place."""

import gc
from functools import lru_cache

from sphinx.search.en import SearchEnglish

# Objects of a page number tens of thousands: to look for garbage after each 700 takes a quarter of
# a build. The words of all pages number some thousand, each found a dozen times.
gc.set_threshold(50_000, 20, 100)
SearchEnglish.stem = lru_cache(maxsize=None)(SearchEnglish.stem)

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
