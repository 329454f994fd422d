"""One genome or a mixture of them: what is given twice, or not at all, is said."""

from pathlib import Path

import pytest

from hyena_glt.config import Recipe, load_recipe
from hyena_glt.errors import RecipeError

TINY = Path(__file__).parents[2] / "recipes" / "tiny.yaml"
NO_GENOME = ("data.genome=null", "data.split=null")
HUMAN = "{genome: human.2bit, weight: 3, split: {by: contig, validation: [chr8]}}"
MOUSE = "{genome: mouse.fa, weight: 1, split: {by: record}}"


def mixture(*sources: str) -> Recipe:
    return load_recipe(TINY, [*NO_GENOME, f"data.mixture=[{', '.join(sources)}]"])


def part_of_human(contigs: str, weight: float = 1) -> str:
    return (
        f"{{genome: human.2bit, weight: {weight}, contigs: {contigs}, "
        "split: {by: fraction, validation: 0.2}}"
    )


def test_a_mixture_stands_instead_of_a_genome() -> None:
    data = mixture(HUMAN, MOUSE).data
    assert (data.genome, data.split) == (None, None)
    assert data.mixture is not None
    assert [source.genome for source in data.mixture] == ["human.2bit", "mouse.fa"]
    assert [source.weight for source in data.mixture] == [3, 1]


def test_a_genome_may_stand_twice_with_other_contigs() -> None:
    data = mixture(part_of_human("[chr1, chr2]"), part_of_human("[chr3]", 2)).data
    assert data.mixture is not None
    assert [source.contigs for source in data.mixture] == [("chr1", "chr2"), ("chr3",)]


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([HUMAN], "data: mixture has fewer than two genomes; for one use genome and split"),
        ([HUMAN, HUMAN], "data: mixture names contigs of human.2bit twice"),
        ([HUMAN, MOUSE, part_of_human("[chr1]")], "names contigs of human.2bit twice"),
        (
            [part_of_human("[chr1, chr2]"), part_of_human("[chr2, chr3]")],
            "names contigs ['chr2'] of human.2bit twice; name every contig once",
        ),
        ([HUMAN, MOUSE.replace("1", "0")], "data.mixture.1.weight: "),
        ([HUMAN, MOUSE.replace("weight: 1, ", "")], "data.mixture.1.weight: required key"),
        ([HUMAN, MOUSE.replace("record", "recrd")], "data.mixture.1.split.by: found 'recrd'"),
        ([HUMAN.replace("contig,", "contigs,"), MOUSE], "did you mean 'contig'?"),
        ([HUMAN.replace("split", "splits"), MOUSE], "did you mean 'split'?"),
    ],
)
def test_a_mixture_that_can_not_be_says_why(sources: list[str], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        mixture(*sources)
    assert message in str(error.value)


@pytest.mark.parametrize("kept", ["genome", "split"])
def test_a_genome_beside_a_mixture_is_refused(kept: str) -> None:
    removed = next(setting for setting in NO_GENOME if kept not in setting)
    with pytest.raises(RecipeError, match=f"data: {kept} and mixture can't both be given"):
        load_recipe(TINY, [removed, f"data.mixture=[{HUMAN}, {MOUSE}]"])
