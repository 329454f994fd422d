"""A GenBank record keeps its sequence, its shape and every stretch of its features."""

import gzip
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hyena_glt.errors import MissingExtraError, SequenceFileError
from hyena_glt.io import Feature, read_genbank


@pytest.fixture(autouse=True)
def _needs_biopython() -> None:
    pytest.importorskip("Bio", reason="needs Biopython: pip install 'hyena-glt[genbank]'")


def genbank(features: str = "", topology: str = "circular", length_bp: int = 12) -> str:
    return (
        f"LOCUS       PLASMID          {length_bp:>11} bp    DNA     {topology:<8} "
        "BCT 01-JAN-2020\n"
        "DEFINITION  A small plasmid.\n"
        "ACCESSION   PLASMID\n"
        "VERSION     PLASMID.2\n"
        "FEATURES             Location/Qualifiers\n"
        f"{features}"
        "ORIGIN      \n"
        "        1 acgtnacgta cc\n"
        "//\n"
    )


def feature(kind: str, location: str, **qualifiers: str) -> str:
    lines = [f"     {kind:<16}{location}\n"]
    lines += [f'                     /{key}="{value}"\n' for key, value in qualifiers.items()]
    return "".join(lines)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plasmid.gb"


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_record_has_its_name_shape_and_letters(
    path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path.write_bytes(pack((genbank() + genbank(topology="linear")).encode()))
    first, second = read_genbank(path)
    assert (first.name, first.description) == ("PLASMID.2", "A small plasmid")
    assert first.sequence == "ACGTNACGTACC"
    assert (first.circular, second.circular) == (True, False)


def test_a_feature_counts_from_zero_and_keeps_its_qualifiers(path: Path) -> None:
    path.write_text(genbank(feature("CDS", "complement(2..7)", gene="a", codon_start="3")))
    (record,) = read_genbank(path)
    attributes = {"gene": ("a",), "codon_start": ("3",)}
    assert record.features == (Feature("PLASMID.2", 1, 7, "CDS", "-", 2, attributes, 0),)


@pytest.mark.parametrize(
    ("location", "strand", "span", "parts"),
    [
        ("join(2..4,6..9)", "+", (1, 9), ((1, 4, "+"), (5, 9, "+"))),
        ("complement(join(2..4,6..9))", "-", (1, 9), ((5, 9, "-"), (1, 4, "-"))),
        ("join(11..12,1..3)", "+", (0, 12), ((10, 12, "+"), (0, 3, "+"))),
        ("join(complement(6..9),2..4)", "?", (1, 9), ((5, 9, "-"), (1, 4, "+"))),
    ],
)
def test_a_joined_feature_keeps_each_stretch_in_the_order_of_the_product(
    path: Path,
    location: str,
    strand: str,
    span: tuple[int, int],
    parts: tuple[tuple[int, int, str], ...],
) -> None:
    path.write_text(genbank(feature("CDS", location, gene="a")))
    ((joined,),) = (record.features for record in read_genbank(path))
    assert (joined.strand, (joined.start, joined.end), joined.parts) == (strand, span, parts)


@pytest.mark.parametrize("location", ["<1..9", "1..>9", "join(1..3,5..>9)"])
def test_an_end_beyond_what_is_known_makes_a_feature_partial(path: Path, location: str) -> None:
    path.write_text(genbank(feature("gene", location) + feature("gene", "1..9")))
    (record,) = read_genbank(path)
    assert [f.attributes.get("partial") for f in record.features] == [("true",), None]
    assert {(f.start, f.end) for f in record.features} == {(0, 9)}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (">a\nACGT\n", "found no LOCUS line"),
        (genbank()[:-3], "record 1: found no whole GenBank record"),
        (genbank(length_bp=90), "record 1: found no whole GenBank record .*length 90, found 12"),
        (genbank().replace("        1 acgtnacgta cc\n", ""), "no whole GenBank record|no sequence"),
        (genbank(feature("CDS", "join(J00194.1:1..3,2..9)")), "lies on another record"),
    ],
)
def test_a_file_that_is_no_whole_genbank_is_refused(path: Path, text: str, problem: str) -> None:
    path.write_text(text)
    with pytest.raises(SequenceFileError, match=problem) as refusal:
        list(read_genbank(path))
    assert str(refusal.value).startswith(f"{path}: ")


def test_a_missing_or_cut_off_file_is_refused(path: Path) -> None:
    with pytest.raises(SequenceFileError, match="no such file"):
        read_genbank(path)
    path.write_bytes(gzip.compress(genbank().encode() * 99)[:-9])
    with pytest.raises(SequenceFileError, match="no whole GenBank record"):
        list(read_genbank(path))


def test_without_biopython_the_error_says_how_to_install_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_text(genbank())
    monkeypatch.setitem(sys.modules, "Bio", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'hyena-glt\[genbank\]'"):
        read_genbank(path)


def test_a_real_chloroplast_is_a_circle_with_a_gene_on_both_strands(
    shared_data: Callable[[str], Path],
) -> None:
    (record,) = read_genbank(shared_data("small_genomes/NC_000932.gb.gz"))
    assert (record.name, len(record.sequence), record.circular) == ("NC_000932.1", 154_478, True)
    joined = [f for f in record.features if f.kind == "CDS" and f.strand == "?"]
    assert [f.attributes["gene"] for f in joined] == [("rps12",)]
    assert [strand for _, _, strand in joined[0].parts] == ["-", "+", "+"]
    start, end, _ = joined[0].parts[0]
    complement = record.sequence[start:end][::-1].translate(str.maketrans("ACGT", "TGCA"))
    assert complement.startswith("ATG")


def test_a_real_virus_is_linear(shared_data: Callable[[str], Path]) -> None:
    (record,) = read_genbank(shared_data("small_genomes/sarscov2_MN908947.gb.gz"))
    assert (len(record.sequence), record.circular) == (29_903, False)
