"""Every fast path against its plain reference: values and gradients."""

import sys
from collections.abc import Callable, Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from properties.checks import same_gradient
from properties.tolerances import OUTPUT
from torch import Tensor

from hyena_glt.ops import (
    AlignedState,
    Grid,
    PoolState,
    align_patches,
    align_patches_reference,
    banded_attention,
    banded_attention_reference,
    fir,
    fir_reference,
    kmer_codes,
    kmer_codes_reference,
    kmer_rows,
    last_positions,
    modal,
    modal_fft,
    modal_filter,
    modal_reference,
    pool_patches,
    pool_patches_reference,
    rms_norm,
    rms_norm_reference,
    smooth,
    smooth_reference,
)
from hyena_glt.ops.kernels import using
from hyena_glt.ops.modal import _carried_by_doubling, _carried_in_turn
from hyena_glt.patch import Emission, cut

LENGTHS = [1, 2, 63, 100, 2000]
DTYPES = [torch.float64, torch.float32]

lengths = pytest.mark.parametrize("length", LENGTHS)
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)


def numbers(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
    return drawn.requires_grad_()


def close(found: Tensor, expected: Tensor) -> None:
    """fp64: absolute; fp32: relative to the largest value (sums of 2,000 numbers grow)."""
    limit = OUTPUT[expected.dtype]
    if expected.dtype == torch.float32:
        limit *= max(1.0, float(expected.detach().abs().max()))
    torch.testing.assert_close(found, expected, atol=limit, rtol=0)


def agree(
    fast: Callable[[], Sequence[Tensor | None]],
    reference: Callable[[], Sequence[Tensor | None]],
    inputs: Sequence[Tensor],
) -> None:
    """Values agree, and so do the gradients of a random direction with respect to ``inputs``."""
    gradients = []
    for outputs in (fast(), reference()):
        kept = [output for output in outputs if output is not None]
        direction = [numbers(*o.shape, dtype=o.dtype, seed=7).detach() for o in kept]
        total = torch.stack([(o * d).sum() for o, d in zip(kept, direction, strict=True)]).sum()
        gradients.append((kept, torch.autograd.grad(total, inputs)))
    (values, slopes), (expected_values, expected_slopes) = gradients
    for found, expected in zip(values, expected_values, strict=True):
        close(found, expected)
    for found, expected in zip(slopes, expected_slopes, strict=True):
        same_gradient(found, expected)


@dtypes
@lengths
@pytest.mark.parametrize("width", [2, 7, 128])
@pytest.mark.parametrize("continues", [False, True])
@pytest.mark.parametrize("form", ["library", "toeplitz", "cached"])
def test_fir(
    length: int,
    width: int,
    continues: bool,
    form: str,
    dtype: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    groups = 6 if length == 100 else 2
    x, h = numbers(2, 6, length, dtype=dtype), numbers(groups, width, dtype=dtype, seed=1)
    past = numbers(2, 6, width - 1, dtype=dtype, seed=2) if continues else None
    inputs = [x, h] if past is None else [x, h, past]
    monkeypatch.setattr(
        sys.modules["hyena_glt.ops.fir"], "_CACHED_NUMBERS", 500
    )  # several blocks of channels
    with using({"fir": form}):
        agree(lambda: [fir(x, h, past)], lambda: [fir_reference(x, h, past)], inputs)


@dtypes
@lengths
@pytest.mark.parametrize("width", [2, 7, 66])
@pytest.mark.parametrize("share_ahead", [0.5, 1.0])
@pytest.mark.parametrize("form", ["library", "toeplitz", "cached"])
def test_fir_that_looks_ahead(
    length: int, width: int, share_ahead: float, form: str, dtype: torch.dtype
) -> None:
    x, h = numbers(2, 6, length, dtype=dtype), numbers(2, width, dtype=dtype, seed=1)
    ahead = round(share_ahead * (width - 1))
    with using({"fir": form}):
        agree(lambda: [fir(x, h, None, ahead)], lambda: [fir_reference(x, h, None, ahead)], [x, h])


@pytest.mark.slow
@pytest.mark.parametrize("width", [2, 7, 66])
@pytest.mark.parametrize("form", ["library", "toeplitz", "cached"])
def test_a_convolution_against_finite_differences(form: str, width: int) -> None:
    x, h, past = numbers(2, 2, 65), numbers(1, width, seed=1), numbers(2, 2, width - 1, seed=2)
    with using({"fir": form}):
        assert torch.autograd.gradcheck(fir, (x, h, past))
        for whole in (x[..., :5].detach().requires_grad_(), x):
            assert torch.autograd.gradcheck(lambda x, h: fir(x, h, None, width // 2), (whole, h))


@dtypes
@pytest.mark.parametrize("shape", [(2,), (5,), (1, 1, 7), (3, 65, 96)], ids=str)
def test_rms_norm(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = (numbers(*shape, dtype=dtype) + 0.5).detach().requires_grad_()
    weight = numbers(shape[-1], dtype=dtype, seed=1)
    agree(
        lambda: [rms_norm(x, weight, 1e-6)],
        lambda: [rms_norm_reference(x, weight, 1e-6)],
        [x, weight],
    )


def test_rms_norm_of_what_is_strided_small_or_needs_one_gradient() -> None:
    x, weight = numbers(4, 3, 6), numbers(6, seed=1)
    strided = x.transpose(0, 1)
    assert torch.autograd.gradcheck(lambda x, w: rms_norm(x, w, 1e-2), (strided, weight))
    assert torch.autograd.gradcheck(lambda x: rms_norm(x, weight.detach(), 1e-2), (1e-3 * x,))
    assert torch.autograd.gradcheck(lambda w: rms_norm(x.detach(), w, 1e-2), (weight,))
    nothing = torch.zeros(2, 6, requires_grad=True)
    (slope,) = torch.autograd.grad(rms_norm(nothing, weight.float().detach(), 1e-6).sum(), nothing)
    torch.testing.assert_close(slope, 1e3 * weight.detach().float().expand(2, 6))


@pytest.mark.parametrize("length", [1, 2, 63, 64, 257])
@pytest.mark.parametrize("continues", [False, True])
def test_states_carried_in_turn_and_by_doubling_are_the_same(length: int, continues: bool) -> None:
    added, first = numbers(3, 2, length).detach(), numbers(3, 2, seed=1).detach()
    log_decay = -numbers(3, seed=2).detach().exp()
    carried = (added, log_decay, first if continues else None)
    close(_carried_by_doubling(*carried), _carried_in_turn(*carried))


@pytest.mark.slow
@pytest.mark.parametrize(("length", "chunk"), [(1, 4), (5, 2), (7, 3), (9, 64)])
def test_chunks_of_a_long_convolution_against_finite_differences(length: int, chunk: int) -> None:
    x, log_pole, residue, state = modal_inputs(length, torch.float64)
    ends = torch.tensor([length, length // 2])[: len(x)]

    def carried(*inputs: Tensor) -> tuple[Tensor, ...]:
        x, log_pole, residue, state = inputs
        y, after = modal(x, log_pole, residue, state, ends, chunk)
        assert after is not None
        return y, after

    assert torch.autograd.gradcheck(carried, (x, log_pole, residue, state))
    assert torch.autograd.gradcheck(
        lambda x, p, r: modal(x, p, r, None, chunk=chunk)[0], (x, log_pole, residue)
    )


def test_the_current_tap_comes_first() -> None:
    x = torch.tensor([[[1.0, 0, 0, 0, 2]]])
    h = torch.tensor([[5.0, 6, 7]])
    assert fir(x, h, None).tolist() == [[[5, 6, 7, 0, 10]]]
    assert fir(x, h, torch.tensor([[[0.0, 1]]])).tolist() == [[[11, 13, 7, 0, 10]]]


def test_taps_ahead_come_before_the_current_one() -> None:
    x = torch.tensor([[[1.0, 0, 0, 0, 2]]])
    h = torch.tensor([[4.0, 5, 6]])
    assert fir(x, h, None, ahead=1).tolist() == [[[5, 6, 0, 8, 10]]]
    # A filter that is longer than the row, both ways.
    assert fir(x[..., 4:], torch.tensor([[1.0, 2, 3, 4, 5]]), None, ahead=3).tolist() == [[[8]]]


def modal_inputs(length: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    x, residue = numbers(2, 3, length, dtype=dtype), numbers(3, 4, dtype=dtype, seed=1)
    constant = torch.logspace(-1, 3, 12, dtype=torch.float64).view(3, 4)
    log_pole = (-1 / constant).to(dtype).requires_grad_()
    return x, log_pole, residue, numbers(2, 3, 4, dtype=dtype, seed=2)


@pytest.mark.slow
@dtypes
@lengths
@pytest.mark.parametrize("chunk", [1, 16, 64, 4096])
def test_modal_is_its_recurrence(length: int, chunk: int, dtype: torch.dtype) -> None:
    if chunk == 4096 and length == 2000:
        chunk = 999  # a 2000 x 2000 Toeplitz matrix for each channel is for nobody
    x, log_pole, residue, state = modal_inputs(length, dtype)
    ends = torch.tensor([length, length // 2])
    valid = (torch.arange(length) < ends[:, None])[:, None]  # what stands in padding is no output

    def outputs(y: Tensor, after: Tensor | None) -> list[Tensor | None]:
        return [torch.where(valid, y, 0), after]

    agree(
        lambda: outputs(*modal(x, log_pole, residue, state, ends, chunk)),
        lambda: outputs(*modal_reference(x, log_pole, residue, state, ends)),
        [x, log_pole, residue, state],
    )
    y, none = modal(x, log_pole, residue, None, chunk=chunk)
    assert none is None
    close(y, modal_reference(x, log_pole, residue, None)[0])


@dtypes
@lengths
def test_modal_is_the_convolution_by_fft(length: int, dtype: torch.dtype) -> None:
    x, log_pole, residue, _ = modal_inputs(length, dtype)
    agree(
        lambda: [modal(x, log_pole, residue, None)[0]],
        lambda: [modal_fft(x, log_pole, residue)],
        [x, log_pole, residue],
    )


def test_a_pole_forgets_as_its_exponential_does() -> None:
    # One pole of 1/2: the impulse response is 3, 3/2, 3/4, ...
    log_pole, residue = torch.tensor([[0.5]]).log(), torch.tensor([[3.0]])
    torch.testing.assert_close(modal_filter(log_pole, residue, 4), 3 * 0.5 ** torch.arange(4)[None])
    impulse = torch.tensor([[[1.0, 0, 0, 0]]])
    y, _ = modal(impulse, log_pole, residue, None, chunk=3)
    torch.testing.assert_close(y, torch.tensor([[[3, 1.5, 0.75, 0.375]]]))


@settings(max_examples=25)
@given(
    total=st.integers(1, 40),
    chunk=st.integers(1, 50),
    share=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_the_state_of_each_row_is_that_after_its_own_last_position(
    total: int, chunk: int, share: tuple[float, float]
) -> None:
    x, log_pole, residue, state = modal_inputs(total, torch.float64)
    ends = [round(part * total) for part in share]
    _, after = modal(x, log_pole, residue, state, torch.tensor(ends), chunk)
    assert after is not None
    for row, end in enumerate(ends):
        expected = state[row : row + 1]
        if end:
            x_row = x[row : row + 1, :, :end]
            _, expected = modal_reference(x_row, log_pole, residue, expected)
        close(after[row : row + 1], expected)


def attention_inputs(
    length: int, dtype: torch.dtype, seed: int = 0
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor, int]:
    """(q, k, v), coordinates of queries and keys, reach: gaps of 1 to 4 bases, a window of 9."""
    window_bp = reach = 9
    generator = torch.Generator().manual_seed(seed)
    steps = torch.randint(1, 5, (2, reach + length), generator=generator)
    k_bp = steps.cumsum(1)
    k_bp[0, :4] = -1  # this row has a shorter past
    q = numbers(2, 4, length, 6, dtype=dtype)
    k, v = (numbers(2, 2, reach + length, 6, dtype=dtype, seed=s) for s in (1, 2))
    return (q, k, v), k_bp[:, reach:], k_bp, window_bp


@pytest.mark.slow
@dtypes
@lengths
@pytest.mark.parametrize("two_sided", [False, True])
def test_banded_attention(length: int, dtype: torch.dtype, two_sided: bool) -> None:
    inputs, q_bp, k_bp, window_bp = attention_inputs(length, dtype)
    agree(
        lambda: [banded_attention(*inputs, q_bp, k_bp, window_bp, window_bp, 100.0, two_sided)],
        lambda: [banded_attention_reference(*inputs, q_bp, k_bp, window_bp, 100.0, two_sided)],
        inputs,
    )


@settings(max_examples=25)
@given(
    length=st.integers(1, 30),
    seed=st.integers(0, 99),
    window_bp=st.integers(1, 9),
    two_sided=st.booleans(),
)
def test_attention_sees_its_window_and_nothing_else(
    length: int, seed: int, window_bp: int, two_sided: bool
) -> None:
    (q, k, v), q_bp, k_bp, reach = attention_inputs(length, torch.float64, seed)
    y = banded_attention(q, k, v, q_bp, k_bp, window_bp, reach, 100.0, two_sided)
    for t in range(length):
        (slope,) = torch.autograd.grad(y[:, :, t].sum(), v, retain_graph=True)
        seen = slope.abs().sum((1, 3)) > 0
        gap = q_bp[:, t, None] - k_bp
        first = -window_bp + 1 if two_sided else 0
        assert torch.equal(seen, (k_bp >= 0) & (gap >= first) & (gap < window_bp))


def test_attention_depends_on_differences_of_coordinates_alone() -> None:
    for dtype in DTYPES:
        inputs, q_bp, k_bp, window_bp = attention_inputs(50, dtype)
        near = banded_attention(*inputs, q_bp, k_bp, window_bp, window_bp, 100.0)
        far_bp = torch.where(k_bp >= 0, k_bp + 3 * 10**9, k_bp)  # past int32, past fp32's integers
        far = banded_attention(*inputs, q_bp + 3 * 10**9, far_bp, window_bp, window_bp, 100.0)
        assert torch.equal(near, far)


@pytest.mark.parametrize("length", [1, 2, 63, 100, 500])
@pytest.mark.parametrize(("ks", "size"), [((2,), 4), ((1, 3, 8), 4), ((12, 24), 4), ((3,), 20)])
def test_kmer_codes(length: int, ks: tuple[int, ...], size: int) -> None:
    generator = torch.Generator().manual_seed(length)
    total = length + max(ks) - 1
    letters = torch.randint(0, size, (3, total), generator=generator)
    unknown = torch.rand(3, total, generator=generator) < 0.03
    letters = torch.where(unknown, -1, letters)
    letters[:, : max(ks) - 1] = -1
    found, expected = kmer_codes(letters, ks, size), kmer_codes_reference(letters, ks, size)
    assert set(found) == set(ks)
    for k in ks:
        assert torch.equal(found[k], expected[k])


def test_the_last_letter_of_a_k_mer_is_its_lowest_digit() -> None:
    # A C G T N A: codes of ACGT in base 4, A = 0, and -1 where N or the row's start is touched
    letters = torch.tensor([[-1, 0, 1, 2, 3, -1, 0]])
    codes = kmer_codes(letters, (1, 2), 4)
    assert codes[1].tolist() == [[0, 1, 2, 3, -1, 0]]
    assert codes[2].tolist() == [[-1, 0 * 4 + 1, 1 * 4 + 2, 2 * 4 + 3, -1, -1]]


@given(codes=st.lists(st.integers(-1, 4**24 - 1), min_size=1), rows=st.integers(2, 70_000))
def test_a_hashed_row_lies_in_the_table_and_an_unknown_k_mer_one_past_it(
    codes: list[int], rows: int
) -> None:
    code = torch.tensor([codes])
    found = kmer_rows(code, rows, hashed=True)
    assert torch.equal(found == rows, code == -1)
    assert bool(((found >= 0) & (found <= rows)).all())
    assert torch.equal(found, kmer_rows(code, rows, hashed=True))


def test_hashing_spreads_neighbouring_k_mers() -> None:
    rows = kmer_rows(torch.arange(40_000)[None], 1000, hashed=True)[0]
    load = rows.bincount(minlength=1000)
    assert load.min() > 10
    assert load.max() < 90


@dtypes
@lengths
def test_pooling(length: int, dtype: torch.dtype) -> None:
    h = numbers(3, length, 4, dtype=dtype)
    emit = torch.rand(3, length, generator=torch.Generator().manual_seed(1)) < 0.3
    emit[:, 0] = True
    valid = torch.tensor([length, (length + 1) // 2, 1])
    emit &= torch.arange(length) < valid[:, None]
    patches = cut(Emission(emit, int(emit.sum(1).max()) + 1, torch.zeros(3).long()))
    agree(
        lambda: pool_patches(h, patches, valid, None)[:2],
        lambda: pool_patches_reference(h, patches, valid),
        [h],
    )


@dtypes
@lengths
def test_positions_side_by_side(length: int, dtype: torch.dtype) -> None:
    h = numbers(3, length, 4, dtype=dtype)
    valid = torch.tensor([length, (length + 1) // 2, 1])
    index = torch.arange(length).expand(3, length)
    emit = ((index == 0) | (index % 5 == 3)) & (index < valid[:, None])
    patches = cut(Emission(emit, int(emit.sum(1).max()) + 1, torch.zeros(3).long()))
    place = Grid(5, 3, 1).place(index)
    agree(
        lambda: align_patches(h, patches, valid, place, 5, None)[:1],
        lambda: (align_patches_reference(h, patches, valid, place, 5),),
        [h],
    )


@given(data=st.data(), total=st.integers(2, 14))
def test_an_open_patch_is_carried_from_call_to_call(data: st.DataObject, total: int) -> None:
    emits = [True, *data.draw(st.lists(st.booleans(), min_size=total - 1, max_size=total - 1))]
    cut_at = data.draw(st.integers(1, total - 1))
    h = numbers(1, total, 3).detach()
    whole = cut(Emission(torch.tensor([emits]), total, torch.zeros(1).long()))
    mean, maximum = pool_patches_reference(h, whole, torch.tensor([total]))
    state = PoolState(
        torch.zeros(1, 3, dtype=h.dtype),
        torch.full((1, 3), -torch.inf, dtype=h.dtype),
        torch.zeros(1, dtype=torch.long),
    )
    means, maxima = [], []
    for start, end in ((0, cut_at), (cut_at, total)):
        patches = cut(
            Emission(torch.tensor([emits[start:end]]), end - start, torch.zeros(1).long())
        )
        found_mean, found_max, after = pool_patches(
            h[:, start:end], patches, torch.tensor([end - start]), state
        )
        assert after is not None
        state = after
        means.append(found_mean[:, : patches.closed[0]])
        maxima.append(found_max[:, : patches.closed[0]])
    close(torch.cat(means, 1), mean[:, : whole.closed[0]])
    close(torch.cat(maxima, 1), maximum[:, : whole.closed[0]])
    last = max(t for t, emit in enumerate(emits) if emit)
    assert state.length.tolist() == [total - 1 - last]
    close(state.total, h[:, last + 1 :].sum(1))


@given(data=st.data(), total=st.integers(2, 14), step_bp=st.integers(1, 2))
def test_an_open_patch_keeps_its_places_from_call_to_call(
    data: st.DataObject, total: int, step_bp: int
) -> None:
    places = data.draw(st.integers(1, 4))
    size_bp = places * step_bp
    grid = Grid(size_bp, data.draw(st.integers(0, size_bp - 1)), step_bp)
    # What is left of the bases where each position stands: BOS, and where the outer grid closes.
    bases = range(total * step_bp)
    ends = [i for i in bases if (i + 1) % step_bp == grid.frame % step_bp][: total - 1]
    coordinate = torch.tensor([[0, *(i + 1 for i in ends)]])
    emit = torch.tensor([[True, *((i + 1) % size_bp == grid.frame for i in ends)]])
    place = grid.place(coordinate)
    closing = emit[0].nonzero()[1:, 0]
    assert (place[0, closing] == places - 1).all(), "a patch ends at its last place"
    cut_at = data.draw(st.integers(1, total - 1))
    h = numbers(1, total, 3).detach()
    whole = cut(Emission(emit, total, torch.zeros(1).long()))
    expected = align_patches_reference(h, whole, torch.tensor([total]), place, places)
    state = AlignedState(torch.zeros(1, places, 3, dtype=h.dtype))
    found = []
    for start, end in ((0, cut_at), (cut_at, total)):
        patches = cut(Emission(emit[:, start:end], end - start, torch.zeros(1).long()))
        side, after = align_patches(
            h[:, start:end],
            patches,
            torch.tensor([end - start]),
            place[:, start:end],
            places,
            state,
        )
        assert after is not None
        state = after
        found.append(side[:, : patches.closed[0]])
    assert torch.equal(torch.cat(found, 1), expected[:, : whole.closed[0]])
    tail = range(int(emit[0].nonzero()[-1]) + 1, total)
    rest = torch.zeros(1, places, 3, dtype=h.dtype)
    for position in tail:
        rest[0, place[0, position]] = h[0, position]
    assert torch.equal(state.h, rest)


@given(total=st.integers(0, 9), width=st.integers(1, 5), data=st.data())
def test_last_positions_end_at_each_rows_own_length(
    total: int, width: int, data: st.DataObject
) -> None:
    length = data.draw(st.lists(st.integers(0, total), min_size=2, max_size=2))
    x = torch.arange(2 * (width + total)).view(2, 1, width + total)
    found = last_positions(x, torch.tensor(length), width)
    for row, n in enumerate(length):
        assert torch.equal(found[row], x[row, :, n : n + width])


@dtypes
@pytest.mark.parametrize("length", [1, 2, 3, 64, 301])
def test_smoothing_equals_the_running_mean(length: int, dtype: torch.dtype) -> None:
    z_BPE, before = numbers(2, length, 3, dtype=dtype), numbers(2, 3, dtype=dtype, seed=1)
    raw = numbers(2, length, dtype=dtype, seed=2)
    ends = torch.tensor([0.0, 1.0, 1e-7, 1 - 1e-7], dtype=dtype)

    def shares() -> Tensor:
        share = torch.sigmoid(4 * raw)
        index = torch.arange(length)
        return torch.where(index % 3 == 1, ends[index % 4], share)

    agree(
        lambda: [smooth(z_BPE, shares(), before)],
        lambda: [smooth_reference(z_BPE, shares(), before)],
        [z_BPE, before] + ([raw] if length != 2 else []),
    )


def test_smoothing_of_a_prefix_is_that_of_the_whole_to_the_last_bit() -> None:
    z_BPE, share, before = numbers(1, 37, 2), torch.rand(1, 37).double(), numbers(1, 2, seed=1)
    whole = smooth(z_BPE, share, before)
    for n in (1, 2, 3, 16, 17, 36):
        assert torch.equal(smooth(z_BPE[:, :n], share[:, :n], before), whole[:, :n])
