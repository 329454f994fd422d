"""The mixers by themselves: what their filters and windows are."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from properties.checks import same
from properties.tiny import MIXERS
from torch import Tensor

from hyena_glt.config import AttentionConfig, LongConfig, MixersConfig
from hyena_glt.nn import Attention, Hyena, Span, Stack, build_mixer, select_rows, state_bytes
from hyena_glt.nn.mixers import ExplicitFilter, ModalFilter
from hyena_glt.ops import banded_attention_reference, modal_filter

CONFIG = MixersConfig.model_validate(MIXERS)


def span_of(*coordinates: int) -> Span:
    return Span(torch.tensor([coordinates]), torch.tensor([len(coordinates)]))


def positions(length: int, dim: int = 8) -> Tensor:
    generator = torch.Generator().manual_seed(length)
    return torch.randn(1, length, dim, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("letter", "SMLA")
def test_a_mixers_answer_to_a_position_is_the_same_at_any_length(letter: str) -> None:
    torch.manual_seed(0)
    mixer = build_mixer(letter, 8, CONFIG, 1).double()
    x_BLD = positions(600)
    whole, none = mixer(x_BLD, span_of(*range(600)), None)
    assert none is None
    for length in (1, 2, 3, 4, 5, 17, 64, 65, 599):
        part, _ = mixer(x_BLD[:, :length], span_of(*range(length)), None)
        same(part, whole[:, :length])


def test_the_letters_of_a_layout_are_the_mixers_in_their_order() -> None:
    stack = Stack("2*SM A L", 8, 4, CONFIG, 1)
    kinds = []
    for block in stack.blocks:
        mixer = block.mixer
        kinds.append(mixer.inner if isinstance(mixer, Hyena) else mixer)
    assert [type(kind) for kind in kinds] == [ExplicitFilter] * 4 + [Attention, ModalFilter]
    widths = [kind.width for kind in kinds if isinstance(kind, ExplicitFilter)]
    assert widths == [3, 4, 3, 4]
    assert [kind.decay is not None for kind in kinds if isinstance(kind, ExplicitFilter)] == [
        False,
        True,
    ] * 2


def test_an_empty_layout_is_the_identity() -> None:
    x_BLD = positions(5)
    y_BLD, state = Stack("", 8, 4, CONFIG, 1)(x_BLD, span_of(*range(5)), ())
    assert torch.equal(y_BLD, x_BLD)
    assert state == ()


def test_channels_of_a_group_share_one_filter_under_their_decay() -> None:
    torch.manual_seed(0)
    explicit = ExplicitFilter(6, 5, group_size=3, decay=True)
    taps = explicit.filter()
    assert taps.shape == (2, 5)
    rate = torch.tensor([10**-1.0, 10**1.5])[:, None]
    decay = torch.exp(-rate * torch.arange(5) / 5)
    torch.testing.assert_close(taps, explicit.taps * decay)
    impulse = torch.zeros(1, 6, 5)
    impulse[..., 0] = 1
    y_BDL, _ = explicit(impulse, span_of(*range(5)), None)
    expected = taps.repeat_interleave(3, 0)
    expected[:, 0] += 1  # the skip term
    torch.testing.assert_close(y_BDL[0], expected)


@given(log_rate=st.floats(-20, 5))
def test_poles_stay_between_zero_and_one_whatever_is_learned(log_rate: float) -> None:
    modal = ModalFilter(2, LongConfig(poles=3))
    with torch.no_grad():
        modal.log_rate.fill_(log_rate)
        poles = modal.log_pole().exp()
    assert bool(((poles >= 0) & (poles <= 1)).all())
    assert bool((modal.log_pole() < 0).all())


def test_time_constants_start_log_uniform_from_one_to_the_slowest() -> None:
    modal = ModalFilter(3, LongConfig(poles=4, slowest=1000))
    constants = (-1 / modal.log_pole()).detach()
    torch.testing.assert_close(constants, torch.tensor([[1.0, 10, 100, 1000]]).expand(3, 4))
    energy = modal_filter(modal.log_pole(), modal.residue, 20_000).square().sum()
    assert math.isfinite(float(energy.detach()))


def test_the_long_filters_state_is_kept_in_single_precision_at_least() -> None:
    modal = ModalFilter(2, LongConfig(poles=3))
    assert modal.begin(torch.zeros(1, 2, dtype=torch.bfloat16)).dtype == torch.float32
    assert modal.begin(torch.zeros(1, 2, dtype=torch.float64)).dtype == torch.float64
    y_BDL, state = modal(
        torch.ones(1, 2, 5, dtype=torch.bfloat16), span_of(*range(5)), torch.zeros(1, 2, 3)
    )
    assert y_BDL.dtype == torch.bfloat16
    assert state is not None
    assert state.dtype == torch.float32


def two_sided_span(*lengths: int) -> Span:
    coordinate = torch.arange(max(lengths)).expand(len(lengths), -1)
    return Span(coordinate, torch.tensor(lengths), True)


@pytest.mark.parametrize("decay", [False, True])
@pytest.mark.parametrize("length", [1, 3, 4, 5, 40, 77])
def test_a_two_sided_explicit_filter_adds_its_taps_ahead(length: int, decay: bool) -> None:
    torch.manual_seed(0)
    explicit = ExplicitFilter(4, 5, group_size=2, decay=decay, two_sided=True).double()
    x_BDL = positions(length, 4).mT.repeat(2, 1, 1)
    y_BDL, _ = explicit(x_BDL, two_sided_span(length, max(1, length - 2)), None)
    assert explicit.ahead is not None
    window = torch.ones(2, 5) if explicit.decay is None else explicit.decay
    for row, end in enumerate((length, max(1, length - 2))):
        x_DL = x_BDL[row, :, :end]
        expected = torch.zeros_like(x_DL)
        for t in range(end):
            for s in range(max(0, t - 4), min(end, t + 5)):
                lag = abs(t - s)
                taps = explicit.taps[:, lag] if s <= t else explicit.ahead[:, lag - 1]
                expected[:, t] += (taps * window[:, lag]).repeat_interleave(2) * x_DL[:, s]
        if explicit.skip is not None:
            expected = expected + explicit.skip[:, None] * x_DL
        same(y_BDL[row, :, :end], expected)


@pytest.mark.parametrize("length", [1, 2, 4, 5, 33])
def test_a_two_sided_long_filter_adds_one_that_runs_from_the_rows_end(length: int) -> None:
    torch.manual_seed(0)
    modal = ModalFilter(4, LongConfig(poles=3, slowest=16, chunk=4), two_sided=True).double()
    assert modal.log_rate_ahead is not None
    assert modal.residue_ahead is not None
    with torch.no_grad():
        modal.log_rate_ahead.add_(0.3)
    x_BDL = positions(length, 4).mT.repeat(2, 1, 1)
    ends = (length, max(1, length - 2))
    y_BDL, _ = modal(x_BDL, two_sided_span(*ends), None)
    ahead = modal_filter(-modal.log_rate_ahead.exp(), modal.residue_ahead, length)
    for row, end in enumerate(ends):
        x_DL = x_BDL[row, :, :end]
        causal, _ = modal(x_DL[None], span_of(*range(end)), None)
        expected = causal[0].clone()
        for t in range(end):
            for s in range(t + 1, end):
                expected[:, t] = expected[:, t] + ahead[:, s - t - 1] * x_DL[:, s]
        same(y_BDL[row, :, :end], expected)


@pytest.mark.parametrize("letter", "SML")
def test_a_causal_call_of_a_two_sided_mixer_is_that_of_a_causal_one(letter: str) -> None:
    torch.manual_seed(0)
    mixer = build_mixer(letter, 8, CONFIG, 1, two_sided=True).double()
    causal = build_mixer(letter, 8, CONFIG, 1).double()
    causal.load_state_dict(mixer.state_dict(), strict=False)
    x_BLD, span = positions(21), span_of(*range(21))
    assert torch.equal(mixer(x_BLD, span, None)[0], causal(x_BLD, span, None)[0])


@settings(max_examples=30)
@given(
    spacing_bp=st.integers(1, 5),
    frame=st.integers(1, 5),
    window_bp=st.integers(1, 23),
    length=st.integers(1, 25),
    cut=st.integers(1, 24),
)
def test_attentions_reach_holds_every_key_of_a_window(
    spacing_bp: int, frame: int, window_bp: int, length: int, cut: int
) -> None:
    """BOS at 0, then patches that close ``spacing_bp`` apart: against all keys of the row."""
    torch.manual_seed(0)
    config = AttentionConfig(heads=2, kv_heads=1, window_bp=window_bp, rotary_base=50.0)
    mixer = Attention(8, config, spacing_bp).double()
    frame = min(frame, spacing_bp)
    closes = [0, *(frame + spacing_bp * i for i in range(length - 1))]
    x_BLD, span = positions(length), span_of(*closes)
    found, _ = mixer(x_BLD, span, None)

    def heads(x: Tensor) -> Tensor:
        return x.view(1, length, -1, 4).transpose(1, 2)

    key, value = mixer.keyvalue(x_BLD).chunk(2, 2)
    expected = banded_attention_reference(
        heads(mixer.query(x_BLD)),
        heads(key),
        heads(value),
        span.coordinate,
        span.coordinate,
        window_bp,
        50.0,
    )
    same(found, mixer.out(expected.transpose(1, 2).flatten(2)))
    cut = min(cut, length)
    first, state = mixer(x_BLD[:, :cut], span_of(*closes[:cut]), mixer.begin(x_BLD[:, 0]))
    same(first, found[:, :cut])
    if cut < length:
        rest, _ = mixer(x_BLD[:, cut:], span_of(*closes[cut:]), state)
        same(rest, found[:, cut:])


def test_rows_of_a_state_are_taken_in_the_order_asked_for() -> None:
    state = (torch.tensor([[1], [2], [3]]), (None, torch.tensor([10, 20, 30])), ())
    picked = select_rows(state, torch.tensor([2, 0, 2]))
    assert picked[0].tolist() == [[3], [1], [3]]
    assert picked[1][0] is None
    assert picked[1][1].tolist() == [30, 10, 30]
    assert picked[2] == ()
    assert state_bytes(picked) == 2 * 3 * 8
