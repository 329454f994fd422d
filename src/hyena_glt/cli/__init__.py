"""Takes a command line; parses, wires, calls and shows. Nothing else in the package prints.

A verb imports what it needs when it runs, so that ``--help`` costs no PyTorch.
"""

from hyena_glt.cli.app import app, main

__all__ = ["app", "main"]
