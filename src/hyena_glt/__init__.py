"""Hyena-GLT: genome language models with single nucleotides in and out and patches inside.

>>> import hyena_glt as glt
>>> model = glt.load("runs/demo/checkpoint")  # doctest: +SKIP
>>> model.score(["ACGTACGT"])  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from hyena_glt.errors import HyenaGLTError

if TYPE_CHECKING:
    from hyena_glt.api import LoadedModel, load, score_variants
    from hyena_glt.generate import Sample
    from hyena_glt.io import Variant
    from hyena_glt.score import Effect, SequenceScore, Substitution

__version__ = "0.1.0"

__all__ = [
    "Effect",
    "HyenaGLTError",
    "LoadedModel",
    "Sample",
    "SequenceScore",
    "Substitution",
    "Variant",
    "load",
    "score_variants",
]


def __getattr__(name: str) -> Any:
    """Import the rest when it is asked for: PyTorch takes seconds, ``--help`` must not."""
    if name in ("LoadedModel", "load", "score_variants"):
        from hyena_glt import api

        return getattr(api, name)
    if name in ("Effect", "SequenceScore", "Substitution"):
        from hyena_glt import score

        return getattr(score, name)
    if name == "Sample":
        from hyena_glt.generate import Sample

        return Sample
    if name == "Variant":
        from hyena_glt.io import Variant

        return Variant
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
