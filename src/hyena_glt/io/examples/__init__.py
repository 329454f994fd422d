"""Takes a source's config; gives labelled sequences, each with where it came from."""

from hyena_glt.io.examples.example import BaseClasses, Example, Label, Schema, Target
from hyena_glt.io.examples.open import ExamplesSource, open_examples

__all__ = [
    "BaseClasses",
    "Example",
    "ExamplesSource",
    "Label",
    "Schema",
    "Target",
    "open_examples",
]
