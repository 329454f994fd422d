"""``python -m hyena_glt.cli``: the command line, where its script isn't on the path."""

from hyena_glt.cli import main

main()
