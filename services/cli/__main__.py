"""`python -m services.cli` is `harmony`."""

from services.cli.application import main

main()
