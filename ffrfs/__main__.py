"""`python -m ffrfs`."""

from ffrfs.cli import main

main()
