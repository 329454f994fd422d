"""Causal long convolution with a filter of real exponentials, linear in length.

    h[d, t] = sum_n residue[d, n] * exp(log_pole[d, n] * t)          (log_pole < 0)
    y[b, d, t] = sum_{s <= t} h[d, t - s] * x[b, d, s]

It is a diagonal state space: ``state[n] <- pole[n] * state[n] + x``, ``y = sum_n residue[n] *
state[n]``. The modal filter is StripedHyena 2's Hyena-LI (Ku et al. 2025, arXiv:2503.01868); the
chunked form replaces its FFT by matrix products. Of chunk k, with C positions x_k as a column,

    z_k = Z x_k              what the chunk alone adds to the states at its end
    s_k = pole**C * s_{k-1} + z_{k-1}                       states before it, carried
    y_k = T x_k + O s_k      T[i, j] = h[i - j], a Toeplitz matrix; O reads the states

and the backward pass is the same the other way round: of dy_k it carries q_{k-1} = O' dy_k +
pole**C * q_k, and dx_k = T' dy_k + Z' q_k. Beside its input it keeps the states alone.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from hyena_glt.errors import KernelError
from hyena_glt.ops.kernels import modal_form


class _Matrices(NamedTuple):
    """A chunk's matrices: the filter's first taps, of which T is made, and what is called so."""

    taps: Float[Tensor, "D C"]
    Z: Float[Tensor, "D N C"]
    O: Float[Tensor, "D N C"]  # noqa: E741


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
    positions from it on are padding, which the state doesn't see. Matrix products are in the type
    of ``x``, states and what carries them in that of the filter. Raises KernelError where
    the form asked for can't carry a state.
    """
    if modal_form() == "fft":
        if state is not None:
            raise KernelError(
                "modal=fft has no state, and this call carries one; leave the form out to stream, "
                "step or score long sequences"
            )
        return modal_fft(x_BDL, log_pole, residue), None
    batch, dim, total = x_BDL.shape
    if total == 0:
        return x_BDL, state
    if total == 1 and state is not None:
        assert length is not None
        return _step(x_BDL, log_pole, residue, state, length)
    size = min(chunk, total)
    count = -(-total // size)
    padded = x_BDL if total == count * size else F.pad(x_BDL, (0, count * size - total))
    x_DBnC = padded.view(batch, dim, count, size).transpose(0, 1)
    first_DNB = None if state is None else state.permute(1, 2, 0)
    y_DBnC, before_DNBn = _Chunked.apply(  # type: ignore[no-untyped-call]
        x_DBnC, *_matrices(log_pole, residue, size), log_pole * size, first_DNB
    )
    y_BDL = y_DBnC.transpose(0, 1).reshape(batch, dim, count * size)[..., :total]
    if state is None:
        return y_BDL, None
    assert length is not None
    return y_BDL, _state_at(x_DBnC, before_DNBn, log_pole, length)


def _matrices(
    log_pole: Float[Tensor, "D N"], residue: Float[Tensor, "D N"], size: int
) -> _Matrices:
    age = torch.arange(size, device=log_pole.device, dtype=log_pole.dtype)
    powers = torch.exp(log_pole[..., None] * age)
    reads = (residue * torch.exp(log_pole))[..., None] * powers
    return _Matrices(torch.einsum("dn,dnc->dc", residue, powers), powers.flip(2), reads)


def _step(
    x_BD1: Float[Tensor, "B D 1"],
    log_pole: Float[Tensor, "D N"],
    residue: Float[Tensor, "D N"],
    state: Float[Tensor, "B D N"],
    length: Int[Tensor, " B"],
) -> tuple[Float[Tensor, "B D 1"], Float[Tensor, "B D N"]]:
    """One position: the recurrence itself."""
    moved = torch.exp(log_pole) * state + x_BD1
    y = (residue * moved).sum(-1, keepdim=True).to(x_BD1.dtype)
    return y, torch.where((length > 0)[:, None, None], moved, state)


class _Chunked(torch.autograd.Function):
    """(y, states before each chunk) of x in chunks; the gradients by the adjoint of each line."""

    @staticmethod
    def forward(
        ctx: Any,
        x_DBnC: Tensor,
        taps_DC: Tensor,
        Z_DNC: Tensor,
        O_DNC: Tensor,
        log_decay_DN: Tensor,
        first_DNB: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        dim, batch, count, size = x_DBnC.shape
        modes = Z_DNC.shape[1]
        x = x_DBnC.reshape(dim, batch * count, size)
        ctx.set_materialize_grads(False)
        z = torch.bmm(Z_DNC.to(x.dtype), x.mT).to(Z_DNC.dtype).view(dim * modes, batch, count)
        first = None if first_DNB is None else first_DNB.reshape(dim * modes, batch)
        s = _carried(z, log_decay_DN.reshape(-1), first).reshape(dim, modes, -1)
        y = torch.bmm(x, _toeplitz(taps_DC.to(x.dtype)))
        y = torch.baddbmm(y, s.to(x.dtype).mT, O_DNC.to(x.dtype))
        ctx.save_for_backward(x_DBnC, taps_DC, Z_DNC, O_DNC, log_decay_DN, s)
        ctx.has_first = first_DNB is not None
        return y.view(x_DBnC.shape), s.view(dim, modes, batch, count)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(
        ctx: Any, dy_DBnC: Tensor | None, ds_DNBn: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        x_DBnC, taps_DC, Z_DNC, O_DNC, log_decay_DN, s = ctx.saved_tensors
        # A backward pass inside autocast mustn't round what this one computes.
        with torch.autocast(x_DBnC.device.type, enabled=False):
            dim, batch, count, size = x_DBnC.shape
            modes = Z_DNC.shape[1]
            x = x_DBnC.reshape(dim, batch * count, size)
            if dy_DBnC is None:
                dy_DBnC = torch.zeros_like(x_DBnC)
            dy = dy_DBnC.reshape(x.shape).to(x.dtype)
            ds = torch.bmm(O_DNC.to(x.dtype), dy.mT).to(O_DNC.dtype)
            if ds_DNBn is not None:
                ds = ds + ds_DNBn.reshape(ds.shape)
            turned = ds.view(dim * modes, batch, count).flip(2)
            q = _carried(turned, log_decay_DN.reshape(-1), None).flip(2).reshape(ds.shape)
            dx = torch.bmm(dy, _toeplitz(taps_DC.to(x.dtype)).mT)
            dx = torch.baddbmm(dx, q.to(x.dtype).mT, Z_DNC.to(x.dtype))
            dlog_decay = torch.exp(log_decay_DN) * (q * s).sum(2)
            dfirst = None
            if ctx.has_first:
                p = ds.view(dim, modes, batch, count)[..., 0]
                decay = torch.exp(log_decay_DN)[..., None]
                dfirst = p + decay * q.view(dim, modes, batch, count)[..., 0]
            return (
                dx.view(x_DBnC.shape),
                _by_lag(torch.bmm(dy.mT, x)).sum(1, dtype=taps_DC.dtype),
                torch.bmm(q.to(x.dtype), x).to(Z_DNC.dtype),
                torch.bmm(s.to(x.dtype), dy).to(O_DNC.dtype),
                dlog_decay,
                dfirst,
            )


def _toeplitz(taps_DC: Float[Tensor, "D C"]) -> Float[Tensor, "D C C"]:
    """T', the transpose of T: T'[j, i] = taps[i - j], 0 below the diagonal."""
    size = taps_DC.shape[1]
    return F.pad(taps_DC, (size - 1, 0)).unfold(1, size, 1).flip(1)


def _by_lag(products_DCC: Float[Tensor, "D C C"]) -> Float[Tensor, "D C C"]:
    """Return products[i, i - lag] in column ``lag``, 0 where there is none."""
    dim, size, _ = products_DCC.shape
    padded = F.pad(products_DCC, (size, 0))
    # With a stride of one more than a row, what is a diagonal there is a column here.
    strides = (2 * size * size, 2 * size + 1, 1)
    return padded.as_strided((dim, size, size), strides, 1).flip(2)


def _carried(
    added_KRn: Float[Tensor, "K R n"],
    log_decay_K: Float[Tensor, " K"],
    first_KR: Float[Tensor, "K R"] | None,
) -> Float[Tensor, "K R n"]:
    """Return s[t] = sum_{j < t} decay**(t - 1 - j) * added[j] + decay**t * first.

    One after the other on a CPU, where a step is short; by doubling elsewhere.
    """
    if added_KRn.is_cpu and not torch.compiler.is_compiling():
        return _carried_in_turn(added_KRn, log_decay_K, first_KR)
    return _carried_by_doubling(added_KRn, log_decay_K, first_KR)


def _carried_in_turn(
    added_KRn: Float[Tensor, "K R n"],
    log_decay_K: Float[Tensor, " K"],
    first_KR: Float[Tensor, "K R"] | None,
) -> Float[Tensor, "K R n"]:
    added = added_KRn.permute(2, 0, 1).contiguous()
    decay = torch.exp(log_decay_K)[:, None]
    s = torch.empty_like(added)
    s[0] = 0 if first_KR is None else first_KR
    for t in range(1, len(s)):
        torch.addcmul(added[t - 1], decay, s[t - 1], out=s[t])
    return s.permute(1, 2, 0).contiguous()


def _carried_by_doubling(
    added_KRn: Float[Tensor, "K R n"],
    log_decay_K: Float[Tensor, " K"],
    first_KR: Float[Tensor, "K R"] | None,
) -> Float[Tensor, "K R n"]:
    """Sums of 1, 2, 4 ... terms: as many rounds as the length has binary digits."""
    first = torch.zeros_like(added_KRn[..., :1]) if first_KR is None else first_KR[..., None]
    s = torch.cat([first, added_KRn[..., :-1]], 2)
    span = 1
    while span < s.shape[2]:
        decay = torch.exp(log_decay_K * span)[:, None, None]
        s = torch.cat([s[..., :span], s[..., span:] + decay * s[..., :-span]], 2)
        span *= 2
    return s


def _state_at(
    x_DBnC: Float[Tensor, "D B n C"],
    before_DNBn: Float[Tensor, "D N B n"],
    log_pole: Float[Tensor, "D N"],
    length: Int[Tensor, " B"],
) -> Float[Tensor, "B D N"]:
    """Return the state after ``length`` positions of each row: full chunks, then the remainder."""
    batch, count, size = x_DBnC.shape[1:]
    k = (length // size).clamp(max=count - 1)
    rest = length - k * size  # positions of chunk k that count: 0 .. C
    row = torch.arange(batch, device=length.device)
    x_BDC = x_DBnC[:, row, k].transpose(0, 1).to(log_pole.dtype)
    before_BDN = before_DNBn[:, :, row, k].permute(2, 0, 1)
    # The last position that counts first, so that the powers of all rows are the same.
    age = torch.arange(size, device=length.device)
    index = (rest[:, None] - 1 - age)[:, None].expand_as(x_BDC)
    recent_BDC = torch.where(index >= 0, x_BDC.gather(2, index.clamp(min=0)), 0)
    powers_DNC = torch.exp(log_pole[..., None] * age)
    kept = torch.exp(log_pole * rest[:, None, None].to(log_pole.dtype)) * before_BDN
    return kept + torch.einsum("bdc,dnc->bdn", recent_BDC, powers_DNC)


def modal_fft(
    x_BDL: Float[Tensor, "B D L"], log_pole: Float[Tensor, "D N"], residue: Float[Tensor, "D N"]
) -> Float[Tensor, "B D L"]:
    """Convolve by FFT, padded to 2 L so that nothing wraps around. Second reference."""
    length = x_BDL.shape[2]
    taps = modal_filter(log_pole, residue, length)
    exact = x_BDL.to(taps.dtype)
    spectrum = torch.fft.rfft(exact, n=2 * length) * torch.fft.rfft(taps, n=2 * length)
    y_BDL: Tensor = torch.fft.irfft(spectrum, n=2 * length)[..., :length]
    return y_BDL.to(x_BDL.dtype)


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
