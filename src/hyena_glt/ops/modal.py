"""Causal long convolution with a filter of real exponentials, linear in length.

    h[d, t] = sum_n residue[d, n] * exp(log_pole[d, n] * t)          (log_pole < 0)
    y[b, d, t] = sum_{s <= t} h[d, t - s] * x[b, d, s]

It is a diagonal state space: ``state[n] <- pole[n] * state[n] + x``, ``y = sum_n residue[n] *
state[n]``. The fast form takes chunks of C positions: within a chunk a Toeplitz GEMM, between
chunks the N states, carried by a scan of logarithmic depth. The modal filter is StripedHyena 2's
Hyena-LI (Ku et al. 2025, arXiv:2503.01868); the chunked form replaces its FFT.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def modal_filter(
    log_pole: Float[Tensor, "D N"], residue: Float[Tensor, "D N"], length: int
) -> Float[Tensor, "D {length}"]:
    """Return the first ``length`` taps of the filter."""
    t = torch.arange(length, device=log_pole.device, dtype=log_pole.dtype)
    return torch.einsum("dn,dnt->dt", residue, torch.exp(log_pole[..., None] * t))


def modal(
    x_BDL: Float[Tensor, "B D L"],
    log_pole: Float[Tensor, "D N"],
    residue: Float[Tensor, "D N"],
    state: Float[Tensor, "B D N"] | None,
    length: Int[Tensor, " B"] | None = None,
    chunk: int = 64,
) -> tuple[Float[Tensor, "B D L"], Float[Tensor, "B D N"] | None]:
    """Return (y, state after ``length`` positions of each row), chunk by chunk.

    ``state`` None starts a row and asks for no state back. ``length`` is needed with a state;
    positions from it on are padding, which the state doesn't see.
    """
    batch, dim, total = x_BDL.shape
    size = min(chunk, total)
    count = -(-total // size)
    x_BDnC = F.pad(x_BDL, (0, count * size - total)).view(batch, dim, count, size)
    j = torch.arange(size, device=x_BDL.device, dtype=log_pole.dtype)
    powers_DNC = torch.exp(log_pole[..., None] * j)
    taps_DC = torch.einsum("dn,dnc->dc", residue, powers_DNC)
    lag = j.long()[:, None] - j.long()
    toeplitz_DCC = torch.where(lag >= 0, taps_DC[:, lag.clamp(min=0)], 0)
    x_DnC = x_BDnC.permute(1, 0, 2, 3).reshape(dim, batch * count, size)
    # What each chunk alone adds to the states at its end.
    added_DnN = torch.bmm(x_DnC, powers_DNC.flip(2).transpose(1, 2))
    added_BDnN = added_DnN.view(dim, batch, count, -1).permute(1, 0, 2, 3)
    before_BDnN = _states_before(added_BDnN, log_pole * size, state)
    before_DnN = before_BDnN.permute(1, 0, 2, 3).reshape(dim, batch * count, -1)
    reads_DNC = residue[..., None] * torch.exp(log_pole[..., None] * (j + 1))
    y_DnC = torch.bmm(x_DnC, toeplitz_DCC.transpose(1, 2)) + torch.bmm(before_DnN, reads_DNC)
    y_BDL = y_DnC.view(dim, batch, count * size).transpose(0, 1)[..., :total]
    if state is None:
        return y_BDL, None
    assert length is not None
    return y_BDL, _state_at(x_BDnC, before_BDnN, log_pole, length)


def _states_before(
    added: Float[Tensor, "B D n N"],
    log_decay: Float[Tensor, "D N"],
    state: Float[Tensor, "B D N"] | None,
) -> Float[Tensor, "B D n N"]:
    """Return the state before each chunk: s[k + 1] = decay * s[k] + added[k], by doubling."""
    first = torch.zeros_like(added[:, :, :1]) if state is None else state[:, :, None]
    states = torch.cat([first, added[:, :, :-1]], 2)
    step = 1
    while step < states.shape[2]:
        decay = torch.exp(log_decay * step)[:, None]
        states = torch.cat(
            [states[:, :, :step], states[:, :, step:] + decay * states[:, :, :-step]], 2
        )
        step *= 2
    return states


def _state_at(
    x_BDnC: Float[Tensor, "B D n C"],
    before_BDnN: Float[Tensor, "B D n N"],
    log_pole: Float[Tensor, "D N"],
    length: Int[Tensor, " B"],
) -> Float[Tensor, "B D N"]:
    """Return the state after ``length`` positions of each row: full chunks, then the remainder."""
    count, size = x_BDnC.shape[2:]
    k = (length // size).clamp(max=count - 1)
    rest = length - k * size  # positions of chunk k that count: 0 .. C
    pick = k[:, None, None, None]
    x_BDC = x_BDnC.gather(2, pick.expand(-1, x_BDnC.shape[1], 1, size))[:, :, 0]
    before = before_BDnN.gather(2, pick.expand(-1, *log_pole.shape[:1], 1, log_pole.shape[1]))[
        :, :, 0
    ]
    age = rest[:, None] - 1 - torch.arange(size, device=length.device)
    weight_BDCN = torch.exp(log_pole[:, None] * age.clamp(min=0)[:, None, :, None])
    x_BDC = torch.where(age[:, None] >= 0, x_BDC, 0)
    kept = torch.exp(log_pole * rest[:, None, None].to(log_pole.dtype)) * before
    return kept + torch.einsum("bdc,bdcn->bdn", x_BDC, weight_BDCN)


def modal_fft(
    x_BDL: Float[Tensor, "B D L"], log_pole: Float[Tensor, "D N"], residue: Float[Tensor, "D N"]
) -> Float[Tensor, "B D L"]:
    """Convolve by FFT, padded to 2 L so that nothing wraps around. Second reference."""
    length = x_BDL.shape[2]
    taps = modal_filter(log_pole, residue, length)
    spectrum = torch.fft.rfft(x_BDL, n=2 * length) * torch.fft.rfft(taps, n=2 * length)
    y_BDL: Tensor = torch.fft.irfft(spectrum, n=2 * length)[..., :length]
    return y_BDL


def modal_reference(
    x_BDL: Float[Tensor, "B D L"],
    log_pole: Float[Tensor, "D N"],
    residue: Float[Tensor, "D N"],
    state: Float[Tensor, "B D N"] | None,
    length: Int[Tensor, " B"] | None = None,
) -> tuple[Float[Tensor, "B D L"], Float[Tensor, "B D N"]]:
    """The recurrence, position by position. Reference for :func:`modal`."""
    batch, dim, total = x_BDL.shape
    if state is None:
        state = x_BDL.new_zeros(batch, dim, log_pole.shape[1])
    if length is None:
        length = torch.full((batch,), total, device=x_BDL.device)
    outputs = []
    for t in range(total):
        moved = torch.exp(log_pole) * state + x_BDL[:, :, t, None]
        outputs.append((residue * moved).sum(-1))
        state = torch.where((t < length)[:, None, None], moved, state)
    return torch.stack(outputs, 2), state
