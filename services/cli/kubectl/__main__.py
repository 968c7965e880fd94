"""`python -m services.cli.kubectl` is `kubectl harmony`."""

import sys

from services.cli.kubectl.application import main

sys.exit(main())
