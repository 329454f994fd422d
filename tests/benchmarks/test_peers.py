"""Peers are what they say: causal, of our size, and right where they have a fast form."""

import pytest
import torch
from peers import CONTENDERS, Hyena2, build_contender, letter_logits, size_of, wake
from peers.hyena2 import ImplicitFilter, convolve_fft, convolve_reference
from peers.training import Trainee, random_rows
from peers.transformer import Transformer
from properties.tolerances import LOGITS_FP32, OUTPUT_FP64
from torch import nn

LENGTH = 75


def live(name: str, longest: int = LENGTH) -> nn.Module:
    torch.manual_seed(3)
    network = build_contender(name, longest).eval()
    wake(network)
    return network


@pytest.mark.parametrize("name", CONTENDERS)
def test_a_letter_changes_what_follows_and_nothing_before(name: str) -> None:
    network, at = live(name).double(), 40
    ids, _ = random_rows(1, LENGTH)
    changed = ids.clone()
    changed[0, at] = ord("A") if ids[0, at] != ord("A") else ord("C")
    with torch.no_grad():
        difference = (letter_logits(network, ids) - letter_logits(network, changed)).abs()
    assert difference[0, :at].max() <= OUTPUT_FP64
    # What a position says follows from its own letter, and from those far behind it.
    assert difference[0, at].max() > 1e-3
    assert difference[0, at + 10 :].max() > 1e-6


def test_all_have_the_same_size_besides_their_tables() -> None:
    sizes = {name: size_of(build_contender(name, LENGTH)) for name in CONTENDERS}
    parameters = [size.parameters for size in sizes.values()]
    assert max(parameters) / min(parameters) <= 1.03
    assert 3_900_000 < min(parameters) < max(parameters) < 4_300_000
    rows = 4**2 + 4**3 + 4**4 + 4**5 + 4**6
    widths = {name: size.table_parameters / rows for name, size in sizes.items()}
    assert widths == {"patched": 96, "flat": 256, "hyena2": 256, "transformer": 256}


def test_the_order_2_network_has_the_published_number_of_parameters() -> None:
    """Counted from the formulas, block by block."""
    dim, inside = 256, 64
    filters = (5 + 1) * inside + 2 * (inside + 1) * inside + inside * dim + inside
    projections = (dim + 1) * 3 * dim + (3 + 1) * 3 * dim + (dim + 1) * dim
    mlp = (dim + 1) * 4 * dim + (4 * dim + 1) * dim
    block = filters + projections + mlp + dim + 2 * 2 * dim
    ends = (4 + 3) * dim + dim + (dim + 1) * 4
    assert size_of(Hyena2(2, LENGTH)).parameters == 2 * block + ends


@pytest.mark.parametrize("length", [1, 2, 63, 64])
def test_the_convolution_by_fft_is_the_direct_sum(length: int) -> None:
    torch.manual_seed(1)
    x, taps = torch.randn(2, 3, length).double(), torch.randn(3, length).double()
    skip = torch.randn(3).double()
    y = convolve_fft(x, taps, skip)
    assert (y - convolve_reference(x, taps, skip)).abs().max() <= OUTPUT_FP64
    # By hand: the second value is the skip, the tap at 0 and the tap at 1.
    if length > 1:
        by_hand = (skip[0] + taps[0, 0]) * x[0, 0, 1] + taps[0, 1] * x[0, 0, 0]
        assert abs(y[0, 0, 1] - by_hand) <= OUTPUT_FP64


def test_the_convolution_stays_in_fp32_where_its_input_is_less() -> None:
    torch.manual_seed(1)
    x, taps, skip = torch.randn(1, 4, 256).bfloat16(), torch.randn(4, 256), torch.zeros(4)
    exact = convolve_reference(x.double(), taps.double(), skip.double())
    assert torch.equal(convolve_fft(x, taps, skip), exact.bfloat16())


def test_taps_are_those_of_the_formula() -> None:
    filters = ImplicitFilter(dim=8, longest=16).double()
    t, (first, sine, second, _, third, _, last) = 5, list(filters.layers)
    # Bands at 1e-4 and 1, in turns over the longest row: cosines, then sines the other way round.
    angle = torch.tensor([1e-4, 1.0]).double() * 2 * torch.pi * t / 16
    features = torch.cat([torch.tensor([t / 15]).double(), angle.cos(), -angle.sin()])
    inside = features
    for layer in (first, second, third):
        inside = torch.sin(sine.frequency * layer(inside))
    slowest, fastest = 4.605170186 / 1.5, 4.605170186 / 0.3
    window = torch.exp(-t / 15 * torch.linspace(slowest, fastest, 8).double())
    found = filters(16)[:, t]
    assert (found - last(inside) * window).abs().max() < 1e-6 * found.abs().max()


def test_a_row_longer_than_the_filter_is_refused() -> None:
    with pytest.raises(ValueError, match="75 positions: the filter was built for 74 at most"):
        live("hyena2", longest=74)(random_rows(1, LENGTH)[0])


@pytest.mark.slow
def test_steps_with_a_cache_give_what_one_pass_gives() -> None:
    network = live("transformer")
    assert isinstance(network, Transformer)
    ids, _ = random_rows(2, LENGTH)
    cache = network.begin(2, LENGTH + 5)
    with torch.no_grad():
        stepped = [network.step(ids[:, t : t + 1], cache) for t in range(LENGTH)]
        whole = network(ids)
    assert cache.position == LENGTH
    assert (torch.stack(stepped, 1) - whole).abs().max() <= LOGITS_FP32
    held = cache.keys.nbytes + cache.values.nbytes
    assert held == 2 * network.cache_bytes(LENGTH + 5)


def test_no_mask_is_made_for_whole_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """With one, attention would cost memory and time that the peer doesn't need."""
    network, masks = live("transformer"), []
    attend = torch.nn.functional.scaled_dot_product_attention

    def watched(*tensors: torch.Tensor, **options: object) -> torch.Tensor:
        masks.append((options["attn_mask"], options["is_causal"]))
        return attend(*tensors, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", watched)
    network(random_rows(1, LENGTH)[0])
    assert masks == [(None, True)] * 5


@pytest.mark.slow
@pytest.mark.parametrize("name", CONTENDERS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_moves_every_weight(name: str, precision: str) -> None:
    trainee = Trainee(name, 64, 2, "bf16" if precision == "bf16" else "fp32")
    before = [parameter.detach().clone() for parameter in trainee.network.parameters()]
    trainee.step()
    after = list(trainee.network.parameters())
    assert not any(torch.equal(a, b) for a, b in zip(after, before, strict=True))
