"""Takes tensors; gives tensors. A plain reference stands beside each fast function."""

from hyena_glt.ops.align import AlignedState, Grid, align_patches, align_patches_reference
from hyena_glt.ops.banded import banded_attention, banded_attention_reference
from hyena_glt.ops.fir import fir, fir_reference
from hyena_glt.ops.kmer import kmer_codes, kmer_codes_reference, kmer_rows
from hyena_glt.ops.modal import modal, modal_fft, modal_filter, modal_reference
from hyena_glt.ops.norm import rms_norm, rms_norm_reference
from hyena_glt.ops.pool import PoolState, pool_patches, pool_patches_reference
from hyena_glt.ops.ragged import last_positions
from hyena_glt.ops.smooth import smooth, smooth_reference

__all__ = [
    "AlignedState",
    "Grid",
    "PoolState",
    "align_patches",
    "align_patches_reference",
    "banded_attention",
    "banded_attention_reference",
    "fir",
    "fir_reference",
    "kmer_codes",
    "kmer_codes_reference",
    "kmer_rows",
    "last_positions",
    "modal",
    "modal_fft",
    "modal_filter",
    "modal_reference",
    "pool_patches",
    "pool_patches_reference",
    "rms_norm",
    "rms_norm_reference",
    "smooth",
    "smooth_reference",
]
