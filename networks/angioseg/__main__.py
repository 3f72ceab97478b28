"""``python -m angioseg``: the command line."""

from angioseg.cli import main

main()
