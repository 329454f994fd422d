"""A score stays with its base: through strands, masks, batches, mixtures and resumed streams."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from hyena_glt.config import DataConfig, MaskedObjectiveConfig, Recipe
from hyena_glt.data import (
    Genome,
    Region,
    TrainingWindows,
    Window,
    collate,
    data_checksums,
    file_sha256,
    held_windows,
    open_sources,
    renamed_contigs,
    training_loader,
    training_windows,
    validation_windows,
)
from hyena_glt.data.masking import masked_window
from hyena_glt.data.windows import make_window
from hyena_glt.errors import SequenceFileError
from hyena_glt.io import BigWigWriter, Track, open_track
from hyena_glt.tokenize import BOS, alphabet, decode, encode

MakeRecipe = Callable[..., Recipe]
DNA = alphabet("dna")
NAN = np.nan
TRACK_PATCHES = (
    "model.stages.0.patch={kind: track, threshold: 0.5, min_bp: 2, max_bp: 12, mean_bp: 4}",
    "side_information=true",
)


def scored(letters: str, *scores: float) -> Window:
    return make_window(encode(letters), DNA, 1.0, np.array(scores, dtype=np.float32))


def floats(track: torch.Tensor | None) -> list[list[float]]:
    assert track is not None
    assert track.dtype == torch.float32
    return track.tolist()


def places_track(folder: Path, **length_bp: int) -> Path:
    """Each base's score is its place, and every fifth base has none."""
    path = folder / f"places{len(length_bp)}.bw"
    with BigWigWriter(path, length_bp) as track:
        for contig in length_bp:
            scores = np.arange(length_bp[contig], dtype=np.float32)
            scores[::5] = NAN
            track.write(contig, 0, scores)
    return path


def test_a_causal_rows_position_t_has_the_score_of_the_base_before_it() -> None:
    batch = collate([scored("ACGT", 1, NAN, 3, 4), scored("TA", 5, 6)])["causal"]
    assert batch.ids[0].tolist() == [BOS, *map(ord, "ACG")]
    wanted = [[NAN, 1, NAN, 3], [NAN, 5, NAN, NAN]]
    assert np.array_equal(floats(batch.track), wanted, equal_nan=True)


def test_a_masked_row_keeps_the_scores_of_all_its_bases() -> None:
    hidden = MaskedObjectiveConfig(kind="masked", fraction=0.5, span_bp=1)
    windows = [
        masked_window(window, hidden, np.random.default_rng(1))
        for window in (scored("ACGT", 1, NAN, 3, 4), scored("TA", 5, 6))
    ]
    batch = collate(windows)["masked"]
    wanted = [[NAN, 1, NAN, 3, 4], [NAN, 5, 6, NAN, NAN]]
    assert np.array_equal(floats(batch.track), wanted, equal_nan=True)


def test_without_a_track_there_is_none() -> None:
    window = make_window(encode("ACG"), DNA, 1.0)
    batch = collate([window, window])["causal"]
    assert (window.track, batch.track) == (None, None)
    assert batch.rows(0, 1).track is None
    assert batch.to(torch.device("cpu")).track is None


def test_rows_of_a_batch_keep_what_stands_beside_them() -> None:
    batch = collate([scored("ACG", 1, 2, 3), scored("T", 4), scored("AC", 5, 6)])["causal"]
    part = batch.rows(1, 9)
    for whole, tensor in zip(batch, part, strict=True):
        assert whole is not None
        assert tensor is not None
        assert torch.equal(tensor.nan_to_num(-9.0), whole[1:].nan_to_num(-9.0))


def test_scores_turn_with_the_strand(
    tmp_path: Path, make_genome: Callable[..., Genome], make_config: Callable[..., DataConfig]
) -> None:
    """The genome calls the contig 1, the track chr1."""
    genome = make_genome(**{"1": 97})
    track = open_track(places_track(tmp_path, chr1=97))
    regions = (Region("1", 3, 50), Region("1", 60, 97))
    windows = TrainingWindows(genome, regions, DNA, make_config(), 40, 1, track)
    turned = 0
    for index in range(40):
        _, start, reverse = windows.place(index)
        window = windows[index]
        places = np.arange(start, start + len(window.ids))
        places = places[::-1] if reverse else places
        assert window.track is not None
        known = ~np.isnan(window.track)
        assert known.tolist() == [place % 5 != 0 for place in places]
        assert window.track[known].tolist() == places[known].tolist()
        turned += reverse
    assert 5 < turned < 35
    held = validation_windows(genome, regions, DNA, make_config(), 1000, track)
    firsts = [window.track[0] for window in held[:2] if window.track is not None]
    assert firsts == [3, 22]  # the second one, 13 to 23, is read from its end


def test_a_track_changes_nothing_else_in_a_window(
    tmp_path: Path, make_genome: Callable[..., Genome], make_config: Callable[..., DataConfig]
) -> None:
    genome = make_genome(chr1=97)
    track = open_track(places_track(tmp_path, chr1=97))
    regions = (Region("chr1", 3, 90),)
    plain = TrainingWindows(genome, regions, DNA, make_config(), 20, 1)
    tracked = TrainingWindows(genome, regions, DNA, make_config(), 20, 1, track)
    for index in range(20):
        assert decode(plain[index].ids) == decode(tracked[index].ids)
        assert (plain[index].target == tracked[index].target).all()
        assert plain[index].track is None


def test_a_stream_of_tracks_goes_on_where_its_state_was_taken(
    tmp_path: Path, make_genome: Callable[..., Genome], make_config: Callable[..., DataConfig]
) -> None:
    genome = make_genome(chr1=300)
    path = places_track(tmp_path, chr1=300)

    def loader() -> object:
        regions = (Region("chr1", 0, 300),)
        windows = TrainingWindows(genome, regions, DNA, make_config(), 24, 5, open_track(path))
        return training_loader(windows, 4, rank=0, world=1)

    whole = [floats(batch["causal"].track) for batch in loader()]  # type: ignore[attr-defined]
    first, later = loader(), loader()
    stream = iter(first)  # type: ignore[call-overload]
    for _ in range(2):
        next(stream)
    later.load_state_dict(first.state_dict())  # type: ignore[attr-defined]
    rest = [floats(batch["causal"].track) for batch in later]  # type: ignore[attr-defined]
    assert len(rest) == 4
    assert np.array_equal(rest, whole[2:], equal_nan=True)


@pytest.fixture
def tracked(tiny: MakeRecipe, tmp_path: Path) -> Recipe:
    """The shared genome with a track of chr1 and chr2; chr2 is for validation."""
    path = places_track(tmp_path, chr1=700, chr2=300)
    return tiny(*TRACK_PATCHES, "data.contigs=[chr1, chr2]", f"data.track={path}")


def test_a_recipe_with_a_track_gives_it_to_training_and_validation(
    tracked: Recipe, tmp_path: Path
) -> None:
    sources = open_sources(tracked, tmp_path / "cache")
    drawn = training_windows(sources, tracked, 6)
    windows = [*(drawn[i] for i in range(6)), *held_windows(sources, tracked)]
    for window in windows:
        assert window.track is not None
        known = window.track[~np.isnan(window.track)]
        assert len(known) >= 0.7 * len(window.ids)
        assert set(np.abs(np.diff(known))) == {1, 2}
    track = tracked.data.track
    assert track is not None
    assert data_checksums(sources, tracked) == {
        tracked.data.genome: sources[0].sha256,
        track: file_sha256(Path(track)),
    }


def test_the_genomes_of_a_mixture_have_their_own_tracks(tiny: MakeRecipe, tmp_path: Path) -> None:
    parts = []
    for name, score in (("one", 1.0), ("other", 2.0)):
        bases = "ACGT" * 25 + ("A" if name == "one" else "C")
        (tmp_path / f"{name}.fa").write_text(f">t\n{bases}\n>v\n{'ACGGT' * 8}\n")
        np.savez(tmp_path / f"{name}.npz", t=np.full(101, score), v=np.full(40, -score))
        split = "{by: contig, validation: [v]}"
        files = f"genome: {tmp_path}/{name}.fa, track: {tmp_path}/{name}.npz"
        parts.append(f"{{{files}, weight: 1, split: {split}}}")
    none = ("data.genome=null", "data.split=null")
    recipe = tiny(*TRACK_PATCHES, *none, f"data.mixture=[{', '.join(parts)}]")
    sources = open_sources(recipe, tmp_path / "cache")
    drawn = training_windows(sources, recipe, 30)
    seen = {float(score) for i in range(30) for score in _of(drawn[i])}
    assert seen == {1, 2}
    assert {float(score) for w in held_windows(sources, recipe) for score in _of(w)} == {-1, -2}
    assert len(data_checksums(sources, recipe)) == 4


def _of(window: Window) -> np.ndarray:
    assert window.track is not None
    return window.track


@pytest.mark.parametrize(
    ("length_bp", "problem"),
    [
        ({"chr1": 700}, "no record 'chr2' among its 1 records"),
        ({"chr1": 700, "chr2": 301}, "found 301 bp of 'chr2', expected 300 as in the genome"),
    ],
)
def test_a_track_that_lacks_a_contig_or_is_of_another_assembly_is_refused(
    tiny: MakeRecipe, tmp_path: Path, length_bp: dict[str, int], problem: str
) -> None:
    path = places_track(tmp_path, **length_bp)
    recipe = tiny(*TRACK_PATCHES, "data.contigs=[chr1, chr2]", f"data.track={path}")
    with pytest.raises(SequenceFileError, match=problem):
        open_sources(recipe, tmp_path / "cache")


def test_contigs_that_the_track_names_otherwise_are_told(tiny: MakeRecipe, tmp_path: Path) -> None:
    path = places_track(tmp_path, **{"1": 700, "chr2": 300})
    recipe = tiny(*TRACK_PATCHES, "data.contigs=[chr1, chr2]", f"data.track={path}")
    assert renamed_contigs(open_sources(recipe, tmp_path / "cache")) == {"1": "chr1"}


def test_contigs_that_no_part_of_the_split_holds_need_no_track(
    tracked: Recipe, tmp_path: Path
) -> None:
    (source,) = open_sources(tracked, tmp_path / "cache")
    assert isinstance(source.track, Track)
    assert "chr3" in source.genome.names
    assert "chr3" not in source.track.names
