"""`python -m services.cli.reference FOLDER` writes the source of the documentation site."""

import sys

from services.cli.reference.site import main

sys.exit(main(sys.argv[1:]))
