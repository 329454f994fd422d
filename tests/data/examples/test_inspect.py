"""What an inspection finds: compositions counted by hand, planted leaks, planted conflicts."""

import numpy as np
import pytest

from hyena_glt.config.examples import Part
from hyena_glt.data.examples.inspect import inspect_examples
from hyena_glt.errors import SequenceError
from hyena_glt.io.examples import BaseClasses, Example, Schema
from hyena_glt.tokenize import alphabet

DNA = alphabet("dna")
CLASSES = Schema("class")


def example(
    sequence: str, label: str = "x", part: Part | None = "train", contig: str | None = None
) -> Example:
    return Example("r", sequence.encode(), label, "table.csv, line 7", part, None, contig)


def random_dna(length: int, seed: int) -> str:
    return "".join(np.random.default_rng(seed).choice(list("ACGT"), length))


def reverse_complement(sequence: str) -> str:
    return sequence.translate(str.maketrans("ACGT", "TGCA"))[::-1]


def test_letters_are_counted_part_by_part() -> None:
    found = inspect_examples(
        [example("ACGTNN"), example("ggRA"), example("AAAA", part="test")], CLASSES, DNA
    )
    train, test = found.report["parts"]["train"], found.report["parts"]["test"]
    assert (train["examples"], train["bases"]) == (2, 10)
    assert train["length_bp"] == {"min": 4, "p5": 4, "median": 4, "p95": 6, "max": 6}
    assert train["gc"] == pytest.approx((2 / 4 + 2 / 3) / 2)
    assert train["unknown_share"] == 0.2
    assert train["ambiguous_share"] == 0.3
    assert train["soft_masked_share"] == 0.2
    assert (test["gc"], test["examples"]) == (0, 1)
    assert found.length_bp["train"].tolist() == [6, 4]


def test_the_same_sequence_in_two_parts_is_named_and_warned_of() -> None:
    one, other = random_dna(60, 1), random_dna(60, 2)
    found = inspect_examples(
        [example(one), example(other), example(one.lower(), part="test")], CLASSES, DNA
    ).report
    (leak,) = found["leaks"]
    assert (leak["from"], leak["into"], leak["identical"], leak["similar"]) == (
        "train",
        "test",
        1,
        1,
    )
    assert leak["examples"] == [["r (table.csv, line 7)", "r (table.csv, line 7)"]]
    assert "1 of 1 sequences of test are identical to one of train" in found["warnings"][0]


def test_of_pairs_both_sequences_count() -> None:
    one, other, third = (random_dna(200, seed) for seed in (1, 2, 3))

    def pair(first: str, second: str, part: Part, label: str = "x") -> Example:
        return example(first, label, part)._replace(alternative=second.encode())

    near = other[:90] + "A" + other[91:]
    rows = [
        pair(one, other, "train"),
        pair(one.lower(), other, "test"),  # the same
        pair(one, random_dna(200, 4), "test"),  # the first alone
        pair(random_dna(200, 5), near, "test"),  # the second, nearly
        pair(reverse_complement(near), third, "test"),  # and as the first of another
        pair(third, random_dna(200, 6), "test"),  # like none of train's but through the last
        pair(random_dna(200, 7), random_dna(200, 8), "test"),
    ]
    schema = CLASSES._replace(pairs=True)
    (leak,) = inspect_examples(rows, schema, DNA).report["leaks"]
    assert (leak["identical"], leak["similar"]) == (1, 5)
    # Alleles of one site have the reference's window in common, and labels of their own.
    alleles = [pair(one, other, "train"), pair(one, third, "train", "y")]
    found = inspect_examples(alleles, schema, DNA).report["duplicates"]["train"]
    assert found == {"repeated": 0, "with_two_labels": 0}


def test_a_near_copy_on_the_other_strand_is_similar_and_not_identical() -> None:
    base = random_dna(300, 3)
    copy = reverse_complement(base[:150] + "A" + base[151:])
    rest = [example(random_dna(300, seed), part="test") for seed in range(10, 16)]
    examples = [example(base), example(copy, part="test"), *rest]
    (leak,) = inspect_examples(examples, CLASSES, DNA).report["leaks"]
    assert (leak["identical"], leak["similar"]) == (0, 1)
    (leak,) = inspect_examples(examples, CLASSES, DNA, similar=False).report["leaks"]
    assert "similar" not in leak


def test_repeats_and_sequences_with_two_labels() -> None:
    rows = [example("ACGT", "x"), example("ACGT", "x"), example("ACGT", "y"), example("AAAA", "y")]
    found = inspect_examples(rows, CLASSES, DNA).report
    assert found["duplicates"] == {"train": {"repeated": 2, "with_two_labels": 1}}
    assert found["parts"]["train"]["classes"] == {"x": 2, "y": 2}
    assert "train: 1 sequences have two labels" in found["warnings"]


def test_a_class_that_train_lacks_and_shared_chromosomes_are_warned_of() -> None:
    rows = [
        example(random_dna(50, 1), "a", contig="chr1"),
        example(random_dna(50, 2), "b", "test", "chr1"),
        example(random_dna(50, 3), "a", "test", "chr2"),
    ]
    found = inspect_examples(rows, CLASSES, DNA).report
    assert found["leaks"][0]["contigs"] == ["chr1"]
    assert "test has classes that train lacks: b" in found["warnings"]
    assert "train and test share chromosomes: chr1" in found["warnings"]


def test_numbers_and_base_classes() -> None:
    rows = [
        Example("r", b"ACGT", np.array([v, np.nan], np.float32), "line") for v in (1.0, 3.0, 5.0)
    ]
    found = inspect_examples(rows, Schema("values", ("dev", "hk")), DNA).report
    numbers = found["parts"]["all"]["numbers"]
    assert numbers["dev"]["count"] == 3
    assert numbers["dev"]["mean"] == 3
    assert numbers["dev"]["standard_deviation"] == pytest.approx((8 / 3) ** 0.5)
    assert numbers["hk"]["count"] == 0
    bases = [Example("r", b"ACGT", BaseClasses(bytes([0, 1, 1, 1]), ("out", "in")), "line")]
    found = inspect_examples(bases, Schema("bases"), DNA).report
    assert found["parts"]["all"]["base_classes"] == {"in": 3, "out": 1}


def test_a_wrong_letter_names_its_place() -> None:
    with pytest.raises(SequenceError, match=r"table.csv, line 7.*position 2.*'E'"):
        inspect_examples([example("ACEG")], CLASSES, DNA)


def test_more_examples_than_a_chunk_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hyena_glt.data.examples.inspect._CHUNK", 3)
    rows = [example(random_dna(30, seed), "xy"[seed % 2]) for seed in range(8)]
    rows.append(example(random_dna(30, 5), "x", "test"))
    found = inspect_examples(rows, CLASSES, DNA)
    assert found.report["parts"]["train"]["examples"] == 8
    assert found.report["leaks"][0]["identical"] == 1
    assert {name: len(gc) for name, gc in found.gc.items()} == {"x": 5, "y": 4}


def test_nothing_is_no_error() -> None:
    assert inspect_examples([], CLASSES, DNA).report["parts"] == {}


def test_proteins_have_no_gc() -> None:
    rows = [Example("p", b"MKXV", "x", "line")]
    found = inspect_examples(rows, CLASSES, alphabet("protein"))
    assert found.report["parts"]["all"]["gc"] is None
    assert found.report["parts"]["all"]["unknown_share"] == 0.25


def test_classes_that_look_alike_are_warned_of() -> None:
    labels = ["a", "a ", "A", "b", "c d", "c  d"]
    found = inspect_examples([example("ACGT", label) for label in labels], CLASSES, DNA)
    warnings = [text for text in found.report["warnings"] if "white space" in text]
    assert [text.split(": ")[1] for text in warnings] == ["'A', 'a', 'a '", "'c  d', 'c d'"]


def test_letters_of_second_sequences_are_checked() -> None:
    schema = CLASSES._replace(pairs=True)
    row = example("ACGT")._replace(alternative=b"AC!T")
    with pytest.raises(SequenceError, match="line 7, alternative"):
        inspect_examples([row], schema, DNA)
