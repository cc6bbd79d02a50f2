"""`python -m lasar_kit` is `lasar-kit`."""

from lasar_kit.cli.main import main

main()
