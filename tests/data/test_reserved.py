"""What is reserved for evaluation is kept off, and each line of its BED counts or says why not."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.checkpoint import Reserved, load_checkpoint
from hyena_glt.config import Recipe
from hyena_glt.config.data import ReservedConfig
from hyena_glt.data import Region, Split, TrainingWindows, first_near, held_windows, open_sources
from hyena_glt.data.reserved import keep_off
from hyena_glt.data.splits import cut_out
from hyena_glt.errors import CheckpointError, RecipeError, SequenceFileError
from hyena_glt.io import Interval
from hyena_glt.tokenize import alphabet
from hyena_glt.train import train

MakeRecipe = Callable[..., Recipe]
BY_CONTIG = "{by: contig, validation: [v], heldout: [h]}"


@pytest.fixture
def two(tmp_path: Path, tiny: MakeRecipe) -> Callable[..., Recipe]:
    """A recipe of two genomes with the same contigs, one.fa longer, and a BED of given lines."""
    for name, length_bp in (("one.fa", 1000), ("other.fa", 500)):
        letter = name[0].replace("o", "A" if name == "one.fa" else "C")
        records = [f">{contig}\n{letter * length_bp}\n" for contig in ("t", "v", "h")]
        (tmp_path / name).write_text("".join(records))
    bed = tmp_path / "reserved.bed"

    def make(*lines: str, settings: str = "margin_bp: 10") -> Recipe:
        bed.write_text("".join(f"{line}\n" for line in lines))
        sources = ", ".join(
            f"{{genome: {tmp_path / name}, weight: 1, split: {BY_CONTIG}}}"
            for name in ("one.fa", "other.fa")
        )
        return tiny(
            "data.genome=null",
            "data.split=null",
            f"data.mixture=[{sources}]",
            f"data.reserved={{bed: {bed}, {settings}}}",
        )

    return make


HELD = ("h 0 1000 one.fa", "h 0 500 other.fa")


def interval(contig: str, start: int, end: int) -> Interval:
    return Interval(contig, start, end, "genome", "+", 1)


def test_a_split_that_keeps_off_stays_as_it_is(two: Callable[..., Recipe], tmp_path: Path) -> None:
    sources = open_sources(two(*HELD), tmp_path / "cache")
    assert [source.split.train for source in sources] == [
        (Region("t", 0, 1000),),
        (Region("t", 0, 500),),
    ]
    assert [[i.end for i in source.reserved] for source in sources] == [[1000], [500]]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "t 100 110 other.fa",
            r"the training region t:0-500 of .*other\.fa comes within margin_bp=10 of t:100-110.*"
            r"reserved\.bed, line 3",
        ),
        ("v 999 1000 one.fa", r"the validation region v:0-1000 of .*one\.fa comes within"),
    ],
)
def test_windows_that_come_near_are_refused(
    line: str, message: str, two: Callable[..., Recipe], tmp_path: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        open_sources(two(*HELD, line), tmp_path / "cache")


def test_what_is_reserved_is_cut_out_of_its_own_genome_alone(
    two: Callable[..., Recipe], tmp_path: Path
) -> None:
    lines = ("t 100 200 one.fa", "t 205 300 one.fa", "v 0 5 one.fa", *HELD)
    recipe = two(*lines, settings="margin_bp: 10, exclude: true")
    one, other = open_sources(recipe, tmp_path / "cache")
    assert one.split.train == (Region("t", 0, 90), Region("t", 310, 1000))
    assert one.split.validation == (Region("v", 15, 1000),)
    assert one.split.heldout == (Region("h", 0, 1000),)
    assert other.split.train == (Region("t", 0, 500),)
    windows = TrainingWindows(one.genome, one.split.train, alphabet("dna"), recipe.data, 200, 1)
    for index in range(200):
        region, start, _ = windows.place(index)
        end = min(start + recipe.data.window_bp, region.end)
        assert end <= 90 or start >= 310


def test_nothing_left_of_a_part_is_said(two: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = two("v 11 990 one.fa", *HELD, settings="margin_bp: 11, exclude: true")
    with pytest.raises(RecipeError, match=r"margin_bp=11 leaves no base of .*one\.fa in valid"):
        open_sources(recipe, tmp_path / "cache")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("h 0 501 other.fa", r"line 3: found h:0-501, expected it inside the contig's 500 bp"),
        (
            "chrh 0 9 one.fa",
            r"line 3: found the contig 'chrh', expected one of .*which has t, v, h",
        ),
        ("h 0 9 third.fa", r"found the genome 'third\.fa' .*, expected one\.fa or other\.fa"),
        ("h 0 9", r"line 3: doesn't say which genome it is of; .*one\.fa or other\.fa"),
        ("h 0 9 .", "line 3: doesn't say which genome it is of"),
        ("h 9 9 one.fa", "line 3: found start 9 and end 9"),
    ],
)
def test_a_line_that_is_of_no_genome_is_refused(
    line: str, message: str, two: Callable[..., Recipe], tmp_path: Path
) -> None:
    with pytest.raises(SequenceFileError, match=message):
        open_sources(two(*HELD, line), tmp_path / "cache")


def test_a_genome_without_a_line_must_be_named(two: Callable[..., Recipe], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no line of other\.fa; .*nothing_on=\[other\.fa\]"):
        open_sources(two(HELD[0]), tmp_path / "cache")
    named = "nothing_on: [other.fa]"
    assert open_sources(two(HELD[0], settings=named), tmp_path / "cache")[1].reserved == ()
    with pytest.raises(RecipeError, match=r"nothing_on names other\.fa, and .* line 2 is of it"):
        open_sources(two(*HELD, settings=named), tmp_path / "cache")
    with pytest.raises(RecipeError, match=r"nothing_on: 'none\.fa' is no genome of this recipe"):
        open_sources(two(*HELD, settings="nothing_on: [none.fa]"), tmp_path / "cache")


def test_files_of_one_name_can_not_be_told_apart(
    two: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = two(*HELD)
    (tmp_path / "beside").mkdir()
    (tmp_path / "other.fa").rename(tmp_path / "beside" / "one.fa")
    assert recipe.data.mixture is not None
    renamed = recipe.data.mixture[1].model_copy(
        update={"genome": str(tmp_path / "beside" / "one.fa")}
    )
    data = recipe.data.model_copy(update={"mixture": (recipe.data.mixture[0], renamed)})
    with pytest.raises(RecipeError, match="have the same file name"):
        open_sources(recipe.model_copy(update={"data": data}), tmp_path / "cache")


@given(
    taken=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=5),
    regions=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30)), min_size=1, max_size=3),
    margin_bp=st.integers(0, 12),
)
def test_near_and_cut_agree_with_base_by_base_distance(
    taken: list[tuple[int, int]], regions: list[tuple[int, int]], margin_bp: int
) -> None:
    kept = [interval("c", start, start + length) for start, length in taken]
    of = [Region("c", start, start + length) for start, length in regions]
    reserved = {i for k in kept for i in range(k.start - margin_bp, k.end + margin_bp)}
    wide = [Region("c", k.start - margin_bp, k.end + margin_bp) for k in kept]
    for region in of:
        bases = set(range(region.start, region.end))
        left = cut_out([region], wide)
        assert [i for r in left for i in range(r.start, r.end)] == sorted(bases - reserved)
        assert all(r.length_bp > 0 for r in left)
        assert (first_near([region], kept, margin_bp) is not None) == bool(bases & reserved)
        assert first_near(left, kept, margin_bp) is None


def test_another_contig_is_never_near() -> None:
    assert first_near([Region("a", 0, 9)], [interval("b", 0, 9)], 100) is None


def test_held_out_regions_may_be_reserved_and_are_not_cut() -> None:
    split = Split((Region("c", 0, 50),), (Region("c", 60, 70),), (Region("c", 90, 100),))
    config = ReservedConfig(bed="x.bed", margin_bp=10, exclude=True)
    assert keep_off("g", split, [interval("c", 80, 100)], config) == split
    config = ReservedConfig(bed="x.bed", margin_bp=11)
    with pytest.raises(RecipeError, match=r"validation region c:60-70 of g"):
        keep_off("g", split, [interval("c", 80, 100)], config)


@pytest.fixture
def bed(tmp_path: Path) -> Callable[[str], str]:
    """A BED of the small genome."""

    def write(text: str) -> str:
        (tmp_path / "reserved.bed").write_text(text)
        return str(tmp_path / "reserved.bed")

    return write


@pytest.mark.slow
def test_a_checkpoint_says_what_was_kept_off(
    tiny: MakeRecipe, tmp_path: Path, bed: Callable[[str], str]
) -> None:
    """Three columns do for one genome: there is nothing to tell apart."""
    path = bed("chr1\t200\t220\n")
    recipe = tiny(f"data.reserved={{bed: {path}, margin_bp: 30, exclude: true}}")
    report = train(recipe, tmp_path / "run")
    found = load_checkpoint(Path(report.checkpoint))
    checksum = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    assert found.provenance.reserved == Reserved(bed=path, sha256=checksum, margin_bp=30)
    assert found.provenance.data_sha256[path] == checksum
    assert found.recipe.data.reserved == recipe.data.reserved
    (split,) = found.splits.values()
    assert [str(region) for region in split.train] == ["chr1:0-170", "chr1:250-700", "chr3:0-90"]
    with Path(path).open("a") as more:
        more.write("chr3\t1\t2\n")
    with pytest.raises(RecipeError, match="started on other data"):
        train(recipe, tmp_path / "run", resume=True)


def test_the_fourth_column_of_a_single_genome_may_be_anything(
    tiny: MakeRecipe, tmp_path: Path, bed: Callable[[str], str]
) -> None:
    """As in an ordinary BED, a gene's name, a score and a strand."""
    path = bed("chr1\t200\t220\tthrA\t0\t-\nchr1\t300\t320\tother.fa\n")
    recipe = tiny(f"data.reserved={{bed: {path}, margin_bp: 30, exclude: true}}")
    (source,) = open_sources(recipe, tmp_path / "cache")
    assert [(i.start, i.end) for i in source.reserved] == [(200, 220), (300, 320)]


def test_a_refused_run_leaves_no_record(
    tiny: MakeRecipe, tmp_path: Path, bed: Callable[[str], str]
) -> None:
    path = bed("chr1 200 220\n")
    with pytest.raises(RecipeError, match="comes within margin_bp=5000 of chr1:200-220"):
        train(tiny(f"data.reserved={{bed: {path}}}"), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoint").exists()
    assert not (tmp_path / "run" / "run.json").exists()


@pytest.mark.slow
def test_weights_that_saw_what_is_reserved_are_refused(
    tiny: MakeRecipe, tmp_path: Path, bed: Callable[[str], str]
) -> None:
    donor = Path(train(tiny(), tmp_path / "donor").checkpoint)
    settings = f"data.reserved={{bed: {bed('chr1 200 220')}, margin_bp: 30, exclude: true}}"
    with pytest.raises(CheckpointError, match=r"was trained on chr1:0-700 .* of chr1:200-220"):
        train(tiny(settings), tmp_path / "run", init_from=donor)
    clean = Path(train(tiny(settings), tmp_path / "clean").checkpoint)
    train(tiny(settings), tmp_path / "next", init_from=clean)


def test_a_recipe_without_reserved_is_written_as_before(tiny: MakeRecipe) -> None:
    """Else a run that an earlier version began could not be resumed: its record would differ."""
    assert "reserved" not in tiny().model_dump(mode="json")["data"]
    settings: dict[str, Any] = {"bed": "x.bed", "margin_bp": 7, "exclude": True, "nothing_on": []}
    written = tiny(f"data.reserved={settings}").model_dump(mode="json")["data"]
    assert written["reserved"] == settings


def test_validation_windows_keep_off_too(two: Callable[..., Recipe], tmp_path: Path) -> None:
    recipe = two("v 0 900 one.fa", "v 0 450 other.fa", settings="margin_bp: 9, exclude: true")
    sources = open_sources(recipe, tmp_path / "cache")
    assert [source.split.validation[0].start for source in sources] == [909, 459]
    assert held_windows(sources, recipe)
