"""`python -m kerastricks` is the command `kerastricks`."""

from kerastricks.cli import main

main()
