"""A whole run, from recipe to checkpoint."""

import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from hyena_glt.calibrate import prepare_in
from hyena_glt.checkpoint import (
    Checkpoint,
    Provenance,
    Reserved,
    finish_replacement,
    load_checkpoint,
    save_checkpoint,
)
from hyena_glt.config import ObjectiveConfig, Recipe
from hyena_glt.data import (
    Kind,
    Region,
    RunWindows,
    Source,
    Split,
    Window,
    batch_sizes,
    collate,
    data_checksums,
    first_near,
    held_windows,
    legs_of,
    open_sources,
    renamed_contigs,
    splits_of,
    training_loader,
)
from hyena_glt.errors import (
    CheckpointError,
    HyenaGLTError,
    RecipeError,
    StorageError,
    TrainingError,
)
from hyena_glt.model import HyenaGLT, compile_calls, warn_of_slow_bf16
from hyena_glt.objective import base_loss, named_bits
from hyena_glt.train.record import (
    RunRecord,
    TrainingReport,
    begin_record,
    discard_record,
    read_report,
    resumed_record,
    write_report,
)
from hyena_glt.train.segments import loss_in_segments

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

    from hyena_glt.train.module import TrainingModule
    from hyena_glt.train.rhythm import KeepBest, Rhythm

Device = Literal["cpu", "cuda", "mps"]


def train(
    recipe: Recipe,
    out: Path,
    *,
    resume: bool = False,
    init_from: Path | None = None,
    device: Device = "cpu",
    command: str = "",
    progress: bool = False,
) -> TrainingReport:
    """Train ``recipe`` and leave the best network by validation in ``out/checkpoint``.

    ``resume`` goes on from the newest state in ``out/resume`` and replays to the same bits; a run
    that has ended gives its report again. ``init_from`` starts a new run from a checkpoint's
    weights, unless those have seen what this run evaluates on. Raises RecipeError, CheckpointError,
    StorageError or TrainingError; whatever happens, the last good checkpoint and state stay whole.
    """
    if resume and init_from is not None:
        raise RecipeError("--init-from starts a new run and --resume goes on; use one of them")
    steps = sum(leg.steps for leg in legs_of(recipe))
    sources = open_sources(recipe, out / "genome")
    splits = splits_of(sources)
    for source in sources:
        longest_bp = max(region.length_bp for region in source.split.train)
        if recipe.data.window_bp > longest_bp:
            raise RecipeError(
                f"data.window_bp={recipe.data.window_bp} is longer than the longest training "
                f"region of {source.name} ({longest_bp} bp); use a shorter window"
            )
    record = RunRecord(
        recipe=recipe.model_dump(mode="json"),
        data_sha256=data_checksums(sources, recipe),
        splits={name: split.as_data() for name, split in splits.items()},
        command=command,
        initialised_from=None if init_from is None else str(init_from),
    )
    if resume:
        record = resumed_record(out, record)
        finish_replacement(out / "checkpoint")
        if (ended := read_report(out)) is not None:
            return ended
    network = _network(recipe, record, sources)
    if not resume:
        begin_record(out, record)
    try:
        prepared = prepare_in(out, recipe, sources)
    except HyenaGLTError:
        if not resume:
            discard_record(out)
        raise
    if prepared.recipe != recipe:
        recipe = prepared.recipe
        network = _network(recipe, record, sources)
    prepared.fill(network)

    def keep_best(best: HyenaGLT, done_steps: int, bases: int, bits: float) -> None:
        provenance = Provenance(
            command=record.command,
            data_sha256=record.data_sha256,
            steps=done_steps,
            training_bases=bases,
            validation_bits_per_base=bits,
            initialised_from=record.initialised_from,
            reserved=_reserved(recipe, record),
        )
        weights = {name: t.detach().cpu().clone() for name, t in best.state_dict().items()}
        save_checkpoint(
            out / "checkpoint",
            Checkpoint(recipe=recipe, weights=weights, splits=splits, provenance=provenance),
        )

    rhythm, module = _fit(recipe, network, sources, steps, out, resume, device, progress, keep_best)
    stopped: Literal["finished", "early", "terminated"]
    stopped = "finished" if module.done_steps == steps else "early"
    report = TrainingReport(
        checkpoint=str(out / "checkpoint"),
        steps=module.done_steps,
        training_bases=module.read_bases,
        best_step=rhythm.best_step,
        validation_bits_per_base=rhythm.best_bits,
        seconds=rhythm.seconds(),
        stopped="terminated" if rhythm.terminated else stopped,
        side_information=recipe.side_information,
        renamed_contigs=renamed_contigs(sources),
    )
    if not rhythm.terminated:
        write_report(out, report)
    return report


def _network(recipe: Recipe, record: RunRecord, sources: Sequence[Source]) -> HyenaGLT:
    """Return the network as the run starts; the seed alone decides its numbers."""
    torch.manual_seed(recipe.seed)
    network = HyenaGLT(recipe.model, recipe.modality)
    if record.initialised_from is not None:
        donor = Path(record.initialised_from)
        found = load_checkpoint(donor)
        _refuse_seen(donor, found, record)
        if recipe.data.reserved is not None:
            _refuse_seen_reserved(donor, found, sources, recipe.data.reserved.margin_bp)
        _take_weights(network, recipe, donor, found)
    return network


def _take_weights(network: HyenaGLT, recipe: Recipe, folder: Path, found: Checkpoint) -> None:
    """Give ``network`` the weights found in ``folder``; its entropy model is of its own regions.

    Raises CheckpointError where they don't fit.
    """
    weights = {name: t for name, t in found.weights.items() if not name.startswith("entropy.")}
    own = network.state_dict()
    weights.update({name: t for name, t in own.items() if name.startswith("entropy.")})
    problem = None
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        problem = str(error).splitlines()[-1].strip()
    # Side by side or mean and maximum: of two places the weights have one shape.
    pooling = [[stage.pooling for stage in r.model.stages] for r in (found.recipe, recipe)]
    if problem is None and pooling[0] != pooling[1]:
        problem = f"its stages have pooling={pooling[0]}, the recipe's {pooling[1]}"
    if found.recipe.modality != network.alphabet.modality:
        problem = f"it is a model of {found.recipe.modality}"
    if problem is not None:
        raise CheckpointError(
            f"{folder}: its weights don't fit this recipe ({problem}); --init-from needs the same "
            "model section, patches that are pooled apart (aligned ones keep their size), and "
            "modality"
        )


def _reserved(recipe: Recipe, record: RunRecord) -> Reserved | None:
    """What the checkpoint is to say of the intervals that the run kept off."""
    config = recipe.data.reserved
    if config is None:
        return None
    return Reserved(
        bed=config.bed, sha256=record.data_sha256[config.bed], margin_bp=config.margin_bp
    )


def _refuse_seen(folder: Path, donor: Checkpoint, record: RunRecord) -> None:
    """Raise CheckpointError where the donor has seen a base that the run evaluates on.

    Bases that the donor was trained on can neither choose among this run's weights nor test them;
    those that it was chosen on may choose again. Genomes are told by their checksum: of another
    genome, or one that the donor doesn't record, nothing is known.
    """
    donors = {donor.provenance.data_sha256.get(name): name for name in donor.splits}
    for name, data in record.splits.items():
        donor_name = donors.get(record.data_sha256[name])
        if donor_name is None:
            continue
        seen, mine = donor.splits[donor_name], Split.from_data(data)
        for verb, before, part, now in (
            ("trained", seen.train, "validation", mine.validation),
            ("trained", seen.train, "held-out", mine.heldout),
            ("chosen", seen.validation, "held-out", mine.heldout),
        ):
            both = _first_overlap(before, now)
            if both is not None:
                raise CheckpointError(
                    f"{folder}: was {verb} on {both[0]} of {donor_name}, and {both[1]} is a {part} "
                    "region of this run: its weights have seen what they would be evaluated on; "
                    f"take over data.split and seed from {folder}/recipe.yaml, or give --init-from "
                    "another checkpoint"
                )


def _refuse_seen_reserved(
    folder: Path, donor: Checkpoint, sources: Sequence[Source], margin_bp: int
) -> None:
    """Raise CheckpointError where the donor was trained or chosen near what is reserved."""
    donors = {donor.provenance.data_sha256.get(name): name for name in donor.splits}
    for source in sources:
        name = donors.get(source.sha256)
        if name is None:
            continue
        seen = donor.splits[name]
        for verb, regions in (("trained", seen.train), ("chosen", seen.validation)):
            near = first_near(regions, source.reserved, margin_bp)
            if near is not None:
                region, interval = near
                raise CheckpointError(
                    f"{folder}: was {verb} on {region} of {name}, within margin_bp={margin_bp} of "
                    f"{interval.contig}:{interval.start}-{interval.end}, which data.reserved keeps "
                    f"for evaluation (line {interval.line} of its BED); give --init-from another "
                    "checkpoint"
                )


def _first_overlap(
    seen: Sequence[Region], evaluated: Sequence[Region]
) -> tuple[Region, Region] | None:
    """Return a region of each that share a base, if there are such."""
    # A split by record has regions by the ten thousand: only those of one contig are held together.
    by_contig: dict[str, list[Region]] = {}
    for region in seen:
        by_contig.setdefault(region.contig, []).append(region)
    for region in evaluated:
        for other in by_contig.get(region.contig, ()):
            if region.start < other.end and other.start < region.end:
                return other, region
    return None


def mean_bits(
    network: HyenaGLT,
    windows: list[Window],
    batch_windows: int,
    objective: ObjectiveConfig,
    segment_bp: int | None = None,
) -> dict[str, float]:
    """Return the loss on ``windows`` as ``bits_per_base``, and what named_bits has beside it.

    Causal windows are read in segments where ``segment_bp`` says so; it changes no result. Raises
    TrainingError where no base of a kind weighs anything.
    """
    device = next(network.parameters()).device
    nll: dict[Kind, float] = {}
    weight: dict[Kind, float] = {}
    for start in range(0, len(windows), batch_windows):
        for kind, batch in collate(windows[start : start + batch_windows]).items():
            batch = batch.to(device)
            if segment_bp is not None:
                loss = loss_in_segments(network, batch, segment_bp)
            else:
                logits = network(
                    batch.ids, batch.length, two_sided=kind == "masked", track=batch.track
                ).logits
                loss = base_loss(logits, batch.target, batch.weight)
            nll[kind] = nll.get(kind, 0.0) + loss.nll_nats.item()
            weight[kind] = weight.get(kind, 0.0) + loss.weight.item()
    if 0 in weight.values():
        raise TrainingError("no base of the validation windows weighs anything; choose others")
    bits = {kind: nll[kind] / weight[kind] / math.log(2) for kind in nll}
    return named_bits(objective, bits)


def _fit(
    recipe: Recipe,
    network: HyenaGLT,
    sources: tuple[Source, ...],
    steps: int,
    out: Path,
    resume: bool,
    device: Device,
    progress: bool,
    keep_best: "KeepBest",
) -> "tuple[Rhythm, TrainingModule]":
    from lightning.pytorch.utilities.exceptions import SIGTERMException

    from hyena_glt.train.module import TrainingModule
    from hyena_glt.train.rhythm import Rhythm
    from hyena_glt.train.saving import newest_resume_folder

    config, objective = recipe.train, recipe.objective
    held = held_windows(sources, recipe)
    size = config.micro_batch_windows or config.batch_windows

    def validate(model: HyenaGLT) -> dict[str, float]:
        # The compiler itself takes seconds to load: only where it is used.
        with torch.compiler.set_stance("force_eager") if config.compile else nullcontext():
            return mean_bits(model, held, size, objective, config.segment_bp)

    rhythm = Rhythm(config, out, validate, keep_best)
    module = TrainingModule(network, objective, config, steps)
    if config.compile:
        compile_calls(network, device)
    warn_of_slow_bf16(config.precision, device)
    windows, sizes = RunWindows(sources, recipe), batch_sizes(legs_of(recipe))
    with quiet_engine():
        trainer = _trainer(recipe, out, rhythm, device, progress)
        loader = training_loader(windows, sizes, rank=0, world=1)
        state = newest_resume_folder(out) if resume else None
        try:
            trainer.fit(module, loader, ckpt_path=state)
        except SIGTERMException:
            rhythm.terminated = True
        except OSError as error:
            if isinstance(error, HyenaGLTError):
                raise
            raise StorageError(
                f"{out}: can't be written ({error.strerror}); nothing that stood there is lost; "
                "free some space and go on with --resume"
            ) from error
    return rhythm, module


def _trainer(
    recipe: Recipe, out: Path, rhythm: "Rhythm", device: Device, progress: bool
) -> "Trainer":
    from lightning.pytorch import Callback, Trainer
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    from hyena_glt.train.rhythm import Progress
    from hyena_glt.train.saving import FolderIO

    callbacks: list[Callback] = [rhythm]
    if progress:
        callbacks.append(Progress(rhythm))
    return Trainer(
        accelerator={"cpu": "cpu", "cuda": "gpu", "mps": "mps"}[device],
        devices=1,
        precision="bf16-mixed" if recipe.train.precision == "bf16" else "32-true",
        max_epochs=1,
        logger=[CSVLogger(out, name="metrics"), TensorBoardLogger(out, name="tensorboard")],
        log_every_n_steps=1,
        callbacks=callbacks,
        plugins=[FolderIO()],
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=progress,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        default_root_dir=out,
    )


@contextmanager
def quiet_engine() -> Iterator[None]:
    """Keep the engine's notes to itself; what a user needs to know, we say."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in (
                ".*does not have many workers.*",
                ".*set_vital.*",
                ".*treespec.*",
                ".*LeafSpec.*",
                ".*GPU available but not used.*",
            ):
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        logger.setLevel(level)
