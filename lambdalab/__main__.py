"""`python -m lambdalab`, where the command itself is not on the path."""

from lambdalab.cli import main

main()
