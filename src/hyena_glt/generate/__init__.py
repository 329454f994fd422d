"""Takes a network and prompts; gives sampled sequences, letter by letter with carried state."""

from hyena_glt.generate.sampling import ROWS, Sample, sample, sample_stream

__all__ = ["ROWS", "Sample", "sample", "sample_stream"]
