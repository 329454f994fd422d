"""Attention within a window of bases, block by block, without an L x L mask.

Query t sees key s where s <= t and coordinate[s] > coordinate[t] - window_bp; two-sided, where
abs(coordinate[s] - coordinate[t]) < window_bp. Coordinates are document nucleotides and rise by at
least one a position, so at most ``reach`` keys are in a window on either side and a query block of
``reach`` positions needs the keys of its own block, the one before, and two-sided the one after.
Rotary phases are relative to each block's origin, subtracted in int64 before anything is a float:
a score depends on coordinate differences alone, however far into a chromosome (Su et al. 2021,
arXiv:2104.09864).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor


def rotate(
    x: Float[Tensor, "*n K"], offset: Int[Tensor, "*#n"], base: float
) -> Float[Tensor, "*n K"]:
    """Turn channel pairs (i, i + K/2) of ``x`` by offset * base**(-2i/K)."""
    half = x.shape[-1] // 2
    exact = torch.promote_types(x.dtype, torch.float32)
    rate = base ** (-torch.arange(half, device=x.device, dtype=exact) / half)
    angle = offset[..., None].to(exact) * rate
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], -1)


def banded_attention(
    q: Float[Tensor, "B H L K"],
    k: Float[Tensor, "B J S K"],
    v: Float[Tensor, "B J S K"],
    q_bp: Int[Tensor, "B L"],
    k_bp: Int[Tensor, "B S"],
    window_bp: int,
    reach: int,
    rotary_base: float,
    two_sided: bool = False,
) -> Float[Tensor, "B H L K"]:
    """Return the attention output of each query.

    The S keys are ``reach`` of the past (coordinate -1 where there is none) and then the L of this
    call. Heads in H share the J key heads in equal groups.
    """
    batch, heads, length, width = q.shape
    block = min(reach, length)
    count = -(-length // block)
    pad = count * block - length
    q = F.pad(q, (0, 0, 0, pad))
    q_bp = F.pad(q_bp, (0, pad), value=0)
    # Key window of block n: from n*block of the padded keys, reach before it and two-sided after.
    after = reach if two_sided else 0
    span = reach + block + after
    k, v = (F.pad(x, (0, 0, 0, pad + after)).unfold(2, span, block).mT for x in (k, v))
    k_bp = F.pad(k_bp, (0, pad + after), value=-1).unfold(1, span, block)
    q = q.view(batch, heads, count, block, width)
    q_bp = q_bp.view(batch, count, block)
    origin = q_bp[..., :1]
    q = rotate(q, (q_bp - origin)[:, None], rotary_base)
    k = rotate(k, (k_bp - origin)[:, None], rotary_base)
    sees = _sees(q_bp, k_bp, window_bp, two_sided)
    # A padded query sees nothing; it attends to everything instead of dividing by zero.
    sees = sees | ~sees.any(-1, keepdim=True)
    group = heads // k.shape[1]
    k, v = (x.repeat_interleave(group, 1) for x in (k, v))
    out = F.scaled_dot_product_attention(
        q.transpose(1, 2).flatten(0, 1),
        k.transpose(1, 2).flatten(0, 1),
        v.transpose(1, 2).flatten(0, 1),
        attn_mask=sees.flatten(0, 1)[:, None],
    )
    out = out.view(batch, count, heads, block, width).transpose(1, 2)
    return torch.as_tensor(out.reshape(batch, heads, count * block, width)[:, :, :length])


def _sees(
    q_bp: Shaped[Tensor, "*n L"], k_bp: Shaped[Tensor, "*n S"], window_bp: int, two_sided: bool
) -> Bool[Tensor, "*n L S"]:
    q_bp, k_bp = q_bp[..., None], k_bp[..., None, :]
    last_bp = q_bp + (window_bp - 1 if two_sided else 0)
    return (k_bp >= 0) & (k_bp <= last_bp) & (k_bp > q_bp - window_bp)


def banded_attention_reference(
    q: Float[Tensor, "B H L K"],
    k: Float[Tensor, "B J S K"],
    v: Float[Tensor, "B J S K"],
    q_bp: Int[Tensor, "B L"],
    k_bp: Int[Tensor, "B S"],
    window_bp: int,
    rotary_base: float,
    two_sided: bool = False,
) -> Float[Tensor, "B H L K"]:
    """The definition, with an L x S mask. Reference for :func:`banded_attention`."""
    q = rotate(q, q_bp[:, None], rotary_base)
    k = rotate(k, k_bp[:, None], rotary_base).repeat_interleave(q.shape[1] // k.shape[1], 1)
    v = v.repeat_interleave(q.shape[1] // v.shape[1], 1)
    score = q @ k.mT / q.shape[-1] ** 0.5
    sees = _sees(q_bp, k_bp, window_bp, two_sided)[:, None]
    # Only padded queries see nothing; their output is padding too.
    score = score.masked_fill(~sees, -torch.inf).masked_fill(~sees.any(-1, keepdim=True), 0)
    y: Tensor = score.softmax(-1) @ v
    return y
