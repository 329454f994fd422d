"""A recipe with numbers to be found, made whole."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from hyena_glt.calibrate.sample import SAMPLE_BP, sample_of
from hyena_glt.calibrate.search import Calibration, calibrate_stage, is_open
from hyena_glt.config import BpePatchConfig, LearnedPatchConfig, Recipe
from hyena_glt.data import Region, Source, splits_of
from hyena_glt.errors import CalibrationError
from hyena_glt.model import HyenaGLT
from hyena_glt.patch import Patcher, build_patcher, learn_merges
from hyena_glt.tokenize import alphabet

_PIECE_BP = 2**20
_MERGES_BP = 2_000_000  # of training regions, for byte pairs


class Prepared(NamedTuple):
    """What training needs before its first step."""

    recipe: Recipe  # with every number that was to be found
    entropy: dict[str, Tensor]  # the entropy model's state; empty without one
    calibrations: tuple[Calibration, ...]

    def fill(self, network: HyenaGLT) -> None:
        """Give ``network``, built from this recipe, its entropy model."""
        if network.entropy is not None:
            network.entropy.load_state_dict(self.entropy)


def prepare(
    recipe: Recipe,
    sources: Sequence[Source],
    sample_bp: int = SAMPLE_BP,
    entropy: Mapping[str, Tensor] | None = None,
) -> Prepared:
    """Return ``recipe`` made whole on the training regions of ``sources``, and nothing else.

    ``entropy`` is the state of an entropy model that has seen them already. Raises CalibrationError
    where no number gives the patches asked for.
    """
    splits = splits_of(sources)
    for name, split in splits.items():
        refuse_seen({name: split.train}, {name: split.validation + split.heldout}, "calibration")
    if recipe.model.entropy is None and not any(is_open(s.patch) for s in recipe.model.stages):
        return Prepared(recipe, {}, ())
    with torch.random.fork_rng(devices=[]):  # the caller's random numbers are not ours to draw
        network = HyenaGLT(recipe.model, recipe.modality)
    if network.entropy is not None and entropy is not None:
        network.entropy.load_state_dict(dict(entropy))
    elif network.entropy is not None:
        network.entropy.fit(_regions(sources), recipe.seed)
    sample = sample_of(recipe, sources, network, sample_bp)
    stages, calibrations, patchers = list(recipe.model.stages), [], list[Patcher]()
    for number, stage in enumerate(stages):
        patch = stage.patch
        if is_open(patch):
            _check_inside(number, recipe)
            merges = _merges(patch, sources, recipe) if isinstance(patch, BpePatchConfig) else ()
            found, calibration = calibrate_stage(
                number, patch, patchers, sample, recipe.modality, merges
            )
            stages[number] = stage.model_copy(update={"patch": found})
            calibrations.append(calibration)
        patchers.append(build_patcher(stages[number].patch, recipe.modality))
    model = recipe.model.model_copy(update={"stages": tuple(stages)})
    whole = Recipe.model_validate(recipe.model_copy(update={"model": model}).model_dump())
    state = {} if network.entropy is None else network.entropy.state_dict()
    return Prepared(whole, state, tuple(calibrations))


def refuse_seen(
    seen: Mapping[str, Sequence[Region]], evaluated: Mapping[str, Sequence[Region]], what: str
) -> None:
    """Raise CalibrationError where a base of ``evaluated`` is in ``seen``, genome by genome."""
    for name, regions in evaluated.items():
        for region in regions:
            for other in seen.get(name, ()):
                same = region.contig == other.contig
                if same and region.start < other.end and other.start < region.end:
                    raise CalibrationError(
                        f"{what} has seen {other} of {name}, and {region} is to be evaluated on; "
                        "what is counted or calibrated sees training regions only. Fit it on other "
                        "regions, or evaluate on others"
                    )


def _check_inside(number: int, recipe: Recipe) -> None:
    for outer, stage in enumerate(recipe.model.stages[:number]):
        if isinstance(stage.patch, LearnedPatchConfig):
            raise CalibrationError(
                f"model.stages.{number}.patch can't be calibrated inside the learned patches of "
                f"stage {outer}, which training moves; give its number, or another kind"
            )


def _regions(sources: Sequence[Source]) -> Iterator[UInt8[np.ndarray, " L"]]:
    """All training bases, region by region."""
    for source in sources:
        for region in source.split.train:
            yield source.genome.fetch_bytes(region.contig, region.start, region.end)


def _merges(config: BpePatchConfig, sources: Sequence[Source], recipe: Recipe) -> tuple[str, ...]:
    """Count byte pairs on evenly spread pieces of the training regions."""
    pieces = [
        (source, region.contig, start, min(start + _PIECE_BP // 16, region.end))
        for source in sources
        for region in source.split.train
        for start in range(region.start, region.end, _PIECE_BP // 16)
    ]
    wanted = max(1, min(len(pieces), _MERGES_BP // (_PIECE_BP // 16)))
    picked = np.linspace(0, len(pieces) - 1, wanted).round().astype(int)
    sequences = (
        source.genome.fetch_bytes(contig, start, end)
        for source, contig, start, end in (pieces[i] for i in picked)
    )
    return learn_merges(sequences, config.vocabulary, alphabet(recipe.modality))
