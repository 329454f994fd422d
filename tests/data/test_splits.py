"""Train, validation and held-out are disjoint, with guards, and each wish that can't be is said."""

import json
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.config import SourceConfig
from hyena_glt.data import Genome, Region, Split, split_genome
from hyena_glt.errors import RecipeError


class Lengths:
    """Contigs of given lengths."""

    def __init__(self, **lengths: int) -> None:
        self.lengths = lengths

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.lengths)

    def length_bp(self, name: str) -> int:
        return self.lengths[name]

    def fetch_bytes(self, name: str, start: int, end: int) -> Any:
        raise AssertionError("a split reads no base")


def split(genome: Genome, seed: int = 1, **config: Any) -> Split:
    source = SourceConfig.model_validate({"genome": "g", "weight": 1, **config})
    return split_genome(genome, source, seed)


def assert_apart(parts: Split, guard_bp: int) -> None:
    labelled = [(part, region) for part, regions in parts._asdict().items() for region in regions]
    for (part, one), (other_part, other) in combinations(labelled, 2):
        if one.contig == other.contig and part != other_part:
            gap = max(one.start, other.start) - min(one.end, other.end)
            assert gap >= guard_bp, f"{part} {one} and {other_part} {other}"


def test_by_contig_each_contig_is_in_one_part() -> None:
    parts = split(
        Lengths(chr1=50, chr2=20, chr3=30),
        split={"by": "contig", "validation": ["chr3"], "heldout": ["chr2"]},
    )
    assert parts.train == (Region("chr1", 0, 50),)
    assert parts.validation == (Region("chr3", 0, 30),)
    assert parts.heldout == (Region("chr2", 0, 20),)


def test_by_region_all_else_but_the_guards_trains() -> None:
    parts = split(
        Lengths(chr1=100, chr2=40),
        split={
            "by": "region",
            "validation": ["chr1:20-30"],
            "heldout": ["chr1:40-50", "chr2:0-10"],
            "guard_bp": 3,
        },
    )
    assert [str(region) for region in parts.train] == [
        "chr1:0-17",
        "chr1:33-37",
        "chr1:53-100",
        "chr2:13-40",
    ]
    assert [str(region) for region in parts.validation] == ["chr1:20-30"]
    assert [str(region) for region in parts.heldout] == ["chr1:40-50", "chr2:0-10"]


@given(
    edges=st.lists(st.integers(0, 100), min_size=4, max_size=4, unique=True),
    guard_bp=st.integers(0, 30),
)
def test_by_region_no_training_base_is_within_a_guard(edges: list[int], guard_bp: int) -> None:
    a, b, c, d = sorted(edges)
    config = {
        "by": "region",
        "validation": [f"chr1:{a}-{b}"],
        "heldout": [f"chr1:{c}-{d}"],
        "guard_bp": guard_bp,
    }
    if c - b < guard_bp:
        with pytest.raises(RecipeError, match=f"{c - b} bp apart, expected guard_bp={guard_bp} or"):
            split(Lengths(chr1=100, chr2=10), split=config)
        return
    parts = split(Lengths(chr1=100, chr2=10), split=config)
    trained = {i for r in parts.train if r.contig == "chr1" for i in range(r.start, r.end)}
    kept = {*range(a, b), *range(c, d)}
    near = {i for i in range(100) if any(abs(i - j) <= guard_bp for j in kept)}
    assert trained == set(range(100)) - near


@given(
    length=st.integers(200, 5000),
    validation=st.floats(0.05, 0.4),
    heldout=st.just(0.0) | st.floats(0.05, 0.4),
    guard_bp=st.integers(0, 5),
)
def test_by_fraction_parts_are_a_guard_apart_round_the_circle_too(
    length: int, validation: float, heldout: float, guard_bp: int
) -> None:
    config = {"by": "fraction", "validation": validation, "heldout": heldout, "guard_bp": guard_bp}
    parts = split(Lengths(chr1=length), split=config)
    assert_apart(parts, guard_bp)
    last = (parts.heldout or parts.validation)[-1]
    assert parts.train[0].start + length - last.end >= guard_bp
    if heldout:
        assert parts.heldout[0].length_bp == round(heldout * length)
    assert parts.validation[0].length_bp == round(validation * length) - guard_bp


def test_chosen_contigs_alone_are_split() -> None:
    parts = split(
        Lengths(chr1=500, chr2=300, chrM=20),
        contigs=["chr2"],
        split={"by": "fraction", "validation": 0.2, "heldout": 0.1, "guard_bp": 5},
    )
    assert [str(r) for part in parts for r in part] == [
        "chr2:5-205",
        "chr2:210-265",
        "chr2:270-300",
    ]


REGION = {"by": "region", "validation": ["chr1:0-10"]}
BY_CONTIG = {"by": "contig", "validation": ["chr2"]}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"split": {**BY_CONTIG, "heldout": ["chr9"]}}, "no contig 'chr9'; the genome has chr1"),
        ({"split": BY_CONTIG, "contigs": ["chrX"]}, r"data\.contigs: no contig 'chrX'"),
        ({"split": BY_CONTIG, "contigs": ["chr1"]}, "no contig 'chr2'; the genome has chr1"),
        ({"split": BY_CONTIG, "contigs": ["chr2"]}, "leaves no base in train"),
        ({"split": {**REGION, "validation": ["chr1"]}}, "'chr1' is no region; expected contig"),
        ({"split": {**REGION, "validation": ["chr1:,-,"]}}, "is no region"),
        ({"split": {**REGION, "validation": ["chr1:10-10"]}}, "doesn't lie within chr1, 0-100"),
        ({"split": {**REGION, "validation": ["chr1:90-101"]}}, "doesn't lie within chr1, 0-100"),
        ({"split": {**REGION, "validation": ["chr7:1-2"]}}, "no contig 'chr7'"),
        ({"split": {**REGION, "heldout": ["chr1:9-12"]}}, r"overlaps chr1:9-12 \(heldout\)"),
        (
            {"split": {**REGION, "validation": ["chr1:0-50", "chr1:60-70", "chr1:40-45"]}},
            r"chr1:0-50 \(validation\) overlaps chr1:40-45 \(validation\)",
        ),
        ({"split": {**REGION, "validation": ["chr1:0-9"] * 2}}, "overlaps chr1:0-9"),
        (
            {"split": {**REGION, "heldout": ["chr1:18-20", "chr2:0-9"], "guard_bp": 9}},
            r"chr1:0-10 \(validation\) and chr1:18-20 \(heldout\) are 8 bp apart, .*guard_bp=9",
        ),
        ({"split": {**REGION, "guard_bp": 1000}, "contigs": ["chr1"]}, "no base in train"),
        ({"split": {"by": "fraction", "guard_bp": 40}}, "too short for guard_bp=40"),
    ],
)
def test_a_split_that_can_not_be_says_why(config: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        split(Lengths(chr1=100, chr2=100), **config)


def test_thousands_may_be_set_apart_in_a_region() -> None:
    parts = split(Lengths(chr1=50_000), split={**REGION, "validation": ["chr1:1,000-20,000"]})
    assert parts.validation == (Region("chr1", 1000, 20_000),)


def test_a_contigs_name_may_hold_a_colon() -> None:
    genome = Lengths(**{"HLA:A*01": 50_000})
    parts = split(genome, split={**REGION, "validation": ["HLA:A*01:0-10"]})
    assert parts.validation == (Region("HLA:A*01", 0, 10),)


def test_regions_of_one_part_may_be_neighbours() -> None:
    parts = split(Lengths(chr1=50_000), split={**REGION, "validation": ["chr1:5-10", "chr1:0-5"]})
    assert [str(region) for region in parts.validation] == ["chr1:5-10", "chr1:0-5"]


RECORDS = {f"p{i}": 10 + i for i in range(40)}
BY_RECORD = {"by": "record", "validation": 0.1, "heldout": 0.2}


def test_by_record_whole_records_are_drawn_by_the_seed() -> None:
    parts = split(Lengths(**RECORDS), split=BY_RECORD)
    assert [len(part) for part in parts] == [28, 4, 8]
    together = [region for part in parts for region in part]
    assert sorted(together) == sorted(Region(name, 0, bp) for name, bp in RECORDS.items())
    for part in parts:
        numbers = [int(region.contig[1:]) for region in part]
        assert numbers == sorted(numbers)
    assert split(Lengths(**RECORDS), split=BY_RECORD) == parts
    assert split(Lengths(**RECORDS), seed=2, split=BY_RECORD) != parts
    # They are drawn from all over the file.
    kept = [int(region.contig[1:]) for region in parts.validation + parts.heldout]
    assert min(kept) < 10
    assert max(kept) > 30


def test_by_record_a_kept_part_has_one_record_at_least_and_may_be_left_out() -> None:
    few = {f"p{i}": 5 for i in range(4)}
    assert [len(part) for part in split(Lengths(**few), split=BY_RECORD)] == [2, 1, 1]
    parts = split(Lengths(**few), split={**BY_RECORD, "heldout": 0})
    assert [len(part) for part in parts] == [3, 1, 0]
    with pytest.raises(RecipeError, match=r"data\.split of g leaves no base in train"):
        split(Lengths(p1=5), split=BY_RECORD)


def test_a_split_comes_back_from_its_data() -> None:
    parts = split(Lengths(**RECORDS), split=BY_RECORD)
    assert Split.from_data(json.loads(json.dumps(parts.as_data()))) == parts
