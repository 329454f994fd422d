"""On a CUDA device: the numbers of a CPU, streamed, in bf16, compiled, trained and asked."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from properties.checks import check_pieces, same, same_gradient
from properties.tiny import PATCHES, Case, build, document, padded
from properties.tolerances import BF16_NATS_A_BASE, LOGITS_FP32, OUTPUT
from torch import Tensor

from hyena_glt.api import load
from hyena_glt.checkpoint import Checkpoint, save_checkpoint
from hyena_glt.config import ModelConfig, Recipe
from hyena_glt.model import HyenaGLT
from hyena_glt.ops import fir, fir_reference, modal, modal_reference
from hyena_glt.ops.kernels import using
from hyena_glt.train import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

ROWS = [document(length, seed, "ACGT") for seed, length in enumerate((157, 40))]
DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
BF16_RELATIVE = 0.03  # of the largest value; bf16 has 8 bits
# Of a width that a GPU's units are used at, and lengths that its blocks don't divide.
REAL = {
    "embed": {"exact_k": [2, 4]},
    "stages": [
        {
            "width": 64,
            "mlp_width": 64,
            "encoder": "SM",
            "patch": {"kind": "fixed", "size_bp": 6},
            "decoder": "SM",
        }
    ],
    "backbone": {"width": 128, "mlp_width": 256, "layout": "SMLA"},
}
REAL_ROWS = [document(length, seed, "ACGT") for seed, length in enumerate((9001, 4999))]


def numbers(*shape: int, seed: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)


def near(found: Tensor, expected: Tensor, dtype: torch.dtype) -> None:
    """As near to fp64 as ``dtype`` allows, relative to the largest value."""
    relative = OUTPUT.get(dtype, BF16_RELATIVE)
    limit = relative * float(expected.abs().max())
    torch.testing.assert_close(found.cpu().double(), expected, atol=limit, rtol=0)


def agree(
    fast: Callable[..., Tensor], reference: Callable[..., Tensor], inputs: list[Tensor]
) -> None:
    """Values and gradients on the device are those of the reference in fp64 on a CPU."""
    exact = [x.double().requires_grad_() for x in inputs]
    expected = reference(*exact)
    direction = numbers(*expected.shape, seed=9, dtype=torch.float64)
    slopes = torch.autograd.grad((expected * direction).sum(), exact)
    there = [x.cuda().requires_grad_() for x in inputs]
    y = fast(*there)
    near(y.detach(), expected.detach(), inputs[0].dtype)
    found = torch.autograd.grad((y * direction.to(y)).sum(), there)
    for one, other in zip(found, slopes, strict=True):
        near(one, other, inputs[0].dtype)


@DTYPES
@pytest.mark.parametrize("form", ["library", "toeplitz", "taps", "cached"])
@pytest.mark.parametrize(("width", "length"), [(3, 1), (7, 33), (128, 1000), (128, 4099)])
def test_every_form_of_a_short_convolution_is_its_definition(
    form: str, width: int, length: int, dtype: torch.dtype
) -> None:
    x = numbers(2, 8, length, seed=1, dtype=dtype)
    h = numbers(4, width, seed=2, dtype=dtype) / width**0.5
    with using({"fir": form}):
        agree(lambda x, h: fir(x, h, None), lambda x, h: fir_reference(x, h, None), [x, h])


@DTYPES
@pytest.mark.parametrize("length", [1, 63, 65, 2011])
def test_a_long_convolution_is_its_recurrence(length: int, dtype: torch.dtype) -> None:
    x = numbers(2, 6, length, seed=1, dtype=dtype)
    # The filter is never in bf16.
    exact = dtype if dtype == torch.float64 else torch.float32
    log_pole = -torch.logspace(0, -3, 4, dtype=exact).repeat(6, 1)
    residue = numbers(6, 4, seed=2, dtype=exact) / 4
    agree(
        lambda x, p, r: modal(x, p, r, None)[0],
        lambda x, p, r: modal_reference(x, p, r, None)[0],
        [x, log_pole, residue],
    )


def case_of(patch: str) -> Case:
    return Case("S", patch, 2, "SMLA", "L", "hashed")


@pytest.mark.parametrize("patch", list(PATCHES))
def test_a_network_has_the_values_and_gradients_of_a_cpu(patch: str) -> None:
    here = build(case_of(patch))
    there = copy.deepcopy(here).cuda()
    ids, length = padded(ROWS)
    expected, found = here(ids, length), there(ids.cuda(), length.cuda())
    for one, other in zip(found.emissions, expected.emissions, strict=True):
        assert torch.equal(one.mask.cpu(), other.mask)
    total, total_there = expected.logits.new_zeros(()), found.logits.new_zeros(())
    for i, row in enumerate(ROWS):
        n = row.shape[1]
        same(found.logits[i, :n].cpu(), expected.logits[i, :n])
        direction = numbers(n, expected.logits.shape[2], seed=i, dtype=torch.float64)
        total = total + (expected.logits[i, :n] * direction).sum()
        total_there = total_there + (found.logits[i, :n] * direction.cuda()).sum()
    slopes = torch.autograd.grad(total, list(here.parameters()), allow_unused=True)
    slopes_there = torch.autograd.grad(total_there, list(there.parameters()), allow_unused=True)
    for one_slope, other_slope in zip(slopes_there, slopes, strict=True):
        assert (one_slope is None) == (other_slope is None)
        if one_slope is not None and other_slope is not None:
            same_gradient(one_slope.cpu(), other_slope)


@pytest.mark.parametrize("patch", list(PATCHES))
@torch.no_grad()
def test_pieces_are_one_pass(patch: str) -> None:
    ids = torch.cat([document(96, seed) for seed in range(2)])
    check_pieces(build(case_of(patch)).cuda(), ids.cuda(), [1, 1, 5, 40, 1, 49])


def real_network() -> HyenaGLT:
    torch.manual_seed(3)
    network = HyenaGLT(ModelConfig.model_validate(REAL), "dna")
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("gate", "out.weight")):
                parameter.add_(0.1 * torch.randn_like(parameter))
    return network


def nats_a_base(network: HyenaGLT, ids: Tensor, length: Tensor) -> Tensor:
    """Return the mean -ln p of the letters, a row."""
    log_p = network(ids, length).logits.double().log_softmax(-1)
    letters = (ids[:, 1:, None] == torch.tensor([ord(x) for x in "ACGT"], device=ids.device)).int()
    nats = -log_p[:, :-1].gather(2, letters.argmax(-1, keepdim=True))[..., 0]
    counts = torch.arange(nats.shape[1], device=ids.device) < length[:, None] - 1
    mean: Tensor = (nats * counts).sum(1) / counts.sum(1)
    return mean


@torch.no_grad()
def test_fp32_is_fp32_and_bf16_is_near_it() -> None:
    here = real_network()
    there = copy.deepcopy(here).cuda()
    ids, length = padded(REAL_ROWS)
    expected = here(ids, length).logits
    found = there(ids.cuda(), length.cuda()).logits.cpu()
    for i, row in enumerate(REAL_ROWS):
        n = row.shape[1]
        limit = LOGITS_FP32 * max(1.0, float(expected[i, :n].abs().max()))
        torch.testing.assert_close(found[i, :n], expected[i, :n], atol=limit, rtol=0)
    nats = nats_a_base(there, ids.cuda(), length.cuda())
    there.precision = "bf16"
    reduced = nats_a_base(there, ids.cuda(), length.cuda())
    assert (reduced - nats).abs().max() < BF16_NATS_A_BASE
    assert not torch.equal(reduced, nats), "bf16 isn't in use"


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_a_compiled_network_has_the_values_and_gradients_of_an_eager_one() -> None:
    network = real_network().cuda()
    ids = REAL_ROWS[1].cuda()
    call = torch.compile(network, fullgraph=True, dynamic=False)
    expected, found = network(ids).logits, call(ids).logits
    limit = LOGITS_FP32 * max(1.0, float(expected.abs().max()))
    torch.testing.assert_close(found, expected, atol=limit, rtol=0)
    direction = torch.randn_like(expected)
    parameters = list(network.parameters())
    slopes = torch.autograd.grad((expected * direction).sum(), parameters)
    compiled = torch.autograd.grad((found * direction).sum(), parameters)
    for one, other in zip(compiled, slopes, strict=True):
        limit = 1e-3 * max(float(other.abs().max()), 1e-30)  # sums of 5,000 positions, reordered
        torch.testing.assert_close(one, other, atol=limit, rtol=0)


@pytest.fixture
def folder(checkpoint: Checkpoint, tmp_path: Path) -> Path:
    save_checkpoint(tmp_path / "checkpoint", checkpoint)
    return tmp_path / "checkpoint"


def test_a_loaded_model_answers_as_on_a_cpu(folder: Path) -> None:
    here, there = load(folder), load(folder, device="cuda")
    sequences = ["ACGTTGCA" * 20 + "N", "GATTACA" * 7, "C"]
    for one, other in zip(there.score(sequences), here.score(sequences), strict=True):
        assert one.loglik_nats == pytest.approx(other.loglik_nats, rel=1e-5)
    layer = here.layers()[-1].name
    for found, expected in zip(
        there.embed(sequences, layer=layer, pool="mean"),
        here.embed(sequences, layer=layer, pool="mean"),
        strict=True,
    ):
        torch.testing.assert_close(
            torch.as_tensor(found), torch.as_tensor(expected), atol=1e-3, rtol=1e-3
        )
    samples = there.generate(length_bp=64, count=3, seed=5)
    assert [len(sample.sequence) for sample in samples] == [64] * 3
    again = there.generate(length_bp=64, count=3, seed=5)
    assert [sample.sequence for sample in samples] == [sample.sequence for sample in again]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_training_learns_and_its_checkpoint_loads_on_a_cpu(
    tiny: Callable[..., Recipe], tmp_path: Path, precision: str, optimiser: str
) -> None:
    recipe = tiny(
        "train.bases=1440",
        "train.lr=0.03",
        f"train.precision={precision}",
        f"train.optimiser={optimiser}",
    )
    report = train(recipe, tmp_path / "run", device="cuda")
    assert report.steps == 20
    assert report.validation_bits_per_base is not None
    assert report.validation_bits_per_base < 1.9  # the genome is rich in A: 1.57 bits
    on_cpu = load(Path(report.checkpoint)).score(["ACGTTGCA" * 8])
    assert torch.isfinite(torch.tensor(on_cpu[0].loglik_nats))
