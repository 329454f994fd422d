"""Takes a network and a prompt; gives sampled sequences, base by base with carried state."""

from hyena_glt.generate.sample import sample

__all__ = ["sample"]
