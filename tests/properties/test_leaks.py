"""The checks catch what they are for: networks that see ahead, beside them, or forget."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from hyena_glt.config import EntropyPatchConfig
from hyena_glt.model import HyenaGLT, hierarchy
from hyena_glt.nn import Hyena, Span
from hyena_glt.nn.mixers import ExplicitFilter
from hyena_glt.patch import Call, Emission, EntropyPatcher, Patches, Wanted, cut
from properties.checks import (
    check_batch_mates,
    check_causal_by_jacobian,
    check_causal_by_perturbation,
    check_fork,
    check_pieces,
    check_prefixes,
    check_ragged,
)
from properties.tiny import Case, LetterPatcher, build, document

CASE = Case("S", "fixed", 1, "M", "", "plain")
IDS = document(14, letters="ACGT")
STEPS = [1] * 15
ROWS = [document(14, 1), document(6, 2)]


class PeekingPatcher(LetterPatcher):
    """Closes a patch before each of its letters: the rule of BLT, one base too early."""

    def wanted(self, call: Call) -> Wanted:
        return Wanted(super().wanted(call).candidates.roll(-1, 1))


class ForewarnedPatcher(EntropyPatcher):
    """Reads each entropy a base early: it is of the letter after next, and knows the next one."""

    def wanted(self, call: Call) -> Wanted:
        assert call.score is not None
        return super().wanted(call._replace(score=call.score.roll(-1, 1)))


class CentredFilter(ExplicitFilter):
    """An explicit filter with a tap one position ahead."""

    def forward(
        self, x_BDL: Tensor, span: Span, state: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        y_BDL, state = super().forward(x_BDL, span, state)
        ahead = torch.cat([x_BDL[..., 1:], torch.zeros_like(x_BDL[..., :1])], 2)
        return y_BDL + 0.1 * ahead, state


class ForgetfulFilter(ExplicitFilter):
    """An explicit filter that starts every call from an empty past."""

    def forward(
        self, x_BDL: Tensor, span: Span, state: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        forgotten = None if state is None else torch.zeros_like(state)
        return super().forward(x_BDL, span, forgotten)


class StretchedFilter(ExplicitFilter):
    """An explicit filter that depends on the length of the call."""

    def forward(
        self, x_BDL: Tensor, span: Span, state: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        y_BDL, state = super().forward(x_BDL, span, state)
        return y_BDL / x_BDL.shape[2], state


class SharedFilter(ExplicitFilter):
    """An explicit filter that takes the mean over the batch away."""

    def forward(
        self, x_BDL: Tensor, span: Span, state: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        y_BDL, state = super().forward(x_BDL, span, state)
        return y_BDL - 0.1 * y_BDL.mean(0), state


def with_patcher(patcher: LetterPatcher) -> HyenaGLT:
    network = build(CASE._replace(patch="letters"))
    network.patchers[0] = patcher
    return network


def reading_entropy(kind: type[EntropyPatcher]) -> HyenaGLT:
    network = build(CASE._replace(patch="entropy"))
    network.patchers[0] = kind(
        EntropyPatchConfig(kind="entropy", threshold_bits=1.85, mean_bp=2, min_bp=1, max_bp=9)
    )
    return network


def with_filter(kind: type[ExplicitFilter]) -> HyenaGLT:
    network = build(CASE)
    mixer = network.hierarchy.encoder.blocks[0].mixer
    assert isinstance(mixer, Hyena)
    mixer.inner = kind(4, 3).double()
    return network


def reading_the_open_patch(emission: Emission) -> Patches:
    patches = cut(emission)
    return patches._replace(read=torch.minimum(patches.seg, patches.closed[:, None] - 1))


CAUSALITY: list[Callable[[HyenaGLT], None]] = [
    lambda network: check_causal_by_perturbation(network, IDS),
    lambda network: check_prefixes(network, IDS),
    lambda network: check_pieces(network, IDS, STEPS),
]


@pytest.mark.slow
def test_the_sound_counterparts_pass() -> None:
    for network in (
        with_patcher(LetterPatcher("CT")),
        reading_entropy(EntropyPatcher),
        with_filter(ExplicitFilter),
    ):
        for check in CAUSALITY:
            check(network)
        check_causal_by_jacobian(network, IDS)
        check_batch_mates(network, ROWS)


@pytest.mark.parametrize("check", CAUSALITY)
def test_a_patcher_that_peeks_at_the_next_base_is_caught(
    check: Callable[[HyenaGLT], None],
) -> None:
    with pytest.raises(AssertionError):
        check(with_patcher(PeekingPatcher("CT")))


@pytest.mark.parametrize("check", CAUSALITY)
def test_a_patcher_that_is_told_of_the_next_base_by_its_score_is_caught(
    check: Callable[[HyenaGLT], None],
) -> None:
    with pytest.raises(AssertionError):
        check(reading_entropy(ForewarnedPatcher))


@pytest.mark.parametrize("check", [*CAUSALITY, lambda net: check_causal_by_jacobian(net, IDS)])
def test_a_mixer_that_looks_one_position_ahead_is_caught(
    check: Callable[[HyenaGLT], None],
) -> None:
    with pytest.raises(AssertionError):
        check(with_filter(CentredFilter))


@pytest.mark.parametrize("check", [*CAUSALITY, lambda net: check_causal_by_jacobian(net, IDS)])
def test_a_pool_whose_open_patch_is_read_is_caught(
    check: Callable[[HyenaGLT], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hierarchy, "cut", reading_the_open_patch)
    with pytest.raises(AssertionError):
        check(build(CASE))


@pytest.mark.parametrize(
    "check",
    [
        lambda network: check_pieces(network, IDS, [8, 7]),
        lambda network: check_ragged(network, ROWS, [(3, 1), (2, 4)]),
        lambda network: check_fork(network, IDS[:, :9], IDS[:, 9:].repeat(2, 1), [0, 0]),
    ],
)
def test_a_mixer_that_forgets_between_calls_is_caught(check: Callable[[HyenaGLT], None]) -> None:
    check(with_filter(ExplicitFilter))
    with pytest.raises(AssertionError):
        check(with_filter(ForgetfulFilter))


@pytest.mark.parametrize(
    "check",
    [
        lambda network: check_prefixes(network, IDS),
        lambda network: check_batch_mates(network, ROWS),
    ],
)
def test_a_filter_that_depends_on_the_length_is_caught(check: Callable[[HyenaGLT], None]) -> None:
    with pytest.raises(AssertionError):
        check(with_filter(StretchedFilter))


@pytest.mark.parametrize(
    "check",
    [
        lambda network: check_batch_mates(network, ROWS),
        lambda network: check_causal_by_jacobian(network, IDS),
    ],
)
def test_a_mixer_that_reads_batch_mates_is_caught(check: Callable[[HyenaGLT], None]) -> None:
    with pytest.raises(AssertionError):
        check(with_filter(SharedFilter))


def test_a_network_that_ignores_its_input_is_caught() -> None:
    with pytest.raises(AssertionError, match="is not read"):
        check_causal_by_perturbation(build(CASE, live=False), IDS)
    with pytest.raises(AssertionError, match="doesn't depend"):
        check_causal_by_jacobian(build(CASE, live=False), IDS)
