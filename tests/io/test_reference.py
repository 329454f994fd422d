"""A genome answers by interval and by any name of its contigs, over a circle's origin too."""

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path

import pysam
import pytest

from hyena_glt.errors import SequenceFileError
from hyena_glt.io import Record, Reference, read_fasta, write_fasta, write_twobit

CHR1, PLASMID = "ACgtNNacGT", "AACCGGT"
RECORDS = [Record("chr1", "", CHR1), Record("plasmid", "", PLASMID)]


@pytest.fixture(params=["genome.fa", "genome.fa.gz", "genome.2bit", "named.txt"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / str(request.param)
    if path.suffix in (".2bit", ".txt"):
        write_twobit(path, RECORDS)
    else:
        write_fasta(path, RECORDS)
    return path


@pytest.fixture
def named(tmp_path: Path) -> Callable[..., Reference]:
    def make(*names: str) -> Reference:
        write_fasta(tmp_path / "named.fa", [Record(name, "", "ACGT") for name in names])
        return Reference(tmp_path / "named.fa")

    return make


def test_every_file_of_one_genome_gives_the_same_letters(path: Path) -> None:
    with Reference(path) as genome:
        assert genome.names == ("chr1", "plasmid")
        assert genome.length_bp("plasmid") == 7
        assert genome.path == path
        assert genome.fetch("chr1", 2, 7) == "gtNNa"
        assert genome.fetch("chr1", 4, 4) == ""


def test_a_circle_wraps_to_both_sides_and_a_line_refuses(path: Path) -> None:
    genome = Reference(path, circular=["plasmid"])
    assert (genome.is_circular("plasmid"), genome.is_circular("chr1")) == (True, False)
    assert genome.fetch("plasmid", -2, 3) == "GTAAC"
    assert genome.fetch("plasmid", 5, 9) == "GTAA"
    for start, end in [(-1, 3), (8, 11), (5, 4)]:
        with pytest.raises(SequenceFileError, match=f"chr1:{start}-{end}"):
            genome.fetch("chr1", start, end)


def test_any_turn_of_the_circle_is_the_slice_of_its_repeats(path: Path) -> None:
    genome = Reference(path, circular=["plasmid"])
    for start in range(-7, 8):
        for length_bp in range(8):
            wanted = (PLASMID * 3)[7 + start : 7 + start + length_bp]
            assert genome.fetch("plasmid", start, start + length_bp) == wanted
            assert genome.window("plasmid", start, start + length_bp) == (start, wanted)


@pytest.mark.parametrize(("start", "end"), [(0, 8), (-8, -2), (8, 15), (3, 2)])
def test_more_than_one_turn_of_a_circle_is_refused(path: Path, start: int, end: int) -> None:
    genome = Reference(path, circular=["plasmid"])
    with pytest.raises(
        SequenceFileError, match=f"plasmid:{start}-{end}, expected at most one turn"
    ):
        genome.fetch("plasmid", start, end)


def test_a_window_is_cut_at_the_ends_of_a_line_and_says_where_it_begins(path: Path) -> None:
    genome = Reference(path)
    assert genome.window("chr1", -3, 4) == (0, "ACgt")
    assert genome.window("chr1", 6, 90) == (6, "acGT")
    assert genome.window("chr1", -5, 90) == (0, CHR1)
    assert genome.window("chr1", 10, 10) == (10, "")
    for start, end in [(10, 12), (-3, 0), (40, 50), (5, 4)]:
        with pytest.raises(SequenceFileError, match="of which nothing is on the contig of 10 bp"):
            genome.window("chr1", start, end)


def test_a_window_longer_than_the_circle_keeps_the_turn_in_its_middle(path: Path) -> None:
    genome = Reference(path, circular=["plasmid"])
    # 12 letters around position 1, 5 more than there are: 2 are left out before and 3 behind.
    assert genome.window("plasmid", -5, 7) == (-3, "GGTAACC")


def test_names_that_differ_by_a_prefix_are_one_and_are_noted(
    named: Callable[..., Reference],
) -> None:
    genome = named("chr1", "2", "chrM", "Chr4")
    assert [genome.resolve(name) for name in ("chr1", "1", "chr2", "MT", "4")] == [
        "chr1",
        "chr1",
        "2",
        "chrM",
        "Chr4",
    ]
    assert genome.renamed == {"1": "chr1", "chr2": "2", "MT": "chrM", "4": "Chr4"}


@pytest.mark.parametrize(("asked", "there"), [("chrM", "MT"), ("M", "MT"), ("chrMT", "M")])
def test_the_mitochondrion_has_many_names(
    named: Callable[..., Reference], asked: str, there: str
) -> None:
    assert named("1", there).resolve(asked) == there


def test_a_name_that_may_be_two_contigs_is_refused(named: Callable[..., Reference]) -> None:
    genome = named("chrM", "chrMT")
    assert genome.resolve("chrMT") == "chrMT"
    with pytest.raises(SequenceFileError, match="found 'chrM' and 'chrMT', either of which"):
        genome.resolve("MT")


def test_an_unknown_name_is_refused_with_those_like_it(named: Callable[..., Reference]) -> None:
    genome = named("NC_000913.3", "chr1")
    for ask in (genome.resolve, genome.length_bp, genome.is_circular):
        with pytest.raises(SequenceFileError, match=r"did you mean 'NC_000913\.3'"):
            ask("NC_000913.2")
    assert genome.renamed == {}
    with pytest.raises(SequenceFileError, match="'chrX'"):
        Reference(genome.path, circular=["chrX"])


def test_a_copy_in_another_process_is_the_same_genome(path: Path) -> None:
    copy = pickle.loads(pickle.dumps(Reference(path, circular=["plasmid"])))
    assert copy.fetch("plasmid", -1, 1) == "TA"
    assert copy.path == path


def test_a_file_that_is_no_genome_is_refused(tmp_path: Path) -> None:
    (tmp_path / "g.fa.gz").write_bytes(gzip.compress(b">a\nACGT\n"))
    with pytest.raises(SequenceFileError, match="expected bgzip"):
        Reference(tmp_path / "g.fa.gz")
    (tmp_path / "empty").touch()
    with pytest.raises(SequenceFileError, match="empty file"):
        Reference(tmp_path / "empty")
    with pytest.raises(SequenceFileError, match="no such file"):
        Reference(tmp_path / "none")


@pytest.mark.slow
def test_a_real_genome_unpacked_gives_its_records(
    tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    packed = shared_data("genome_1pct/celegans_1pct.fa.gz")
    with pysam.BGZFile(str(tmp_path / "g.fa.gz"), "wb", None) as file:
        file.write(gzip.decompress(packed.read_bytes()))
    genome = Reference(tmp_path / "g.fa.gz")
    for record in read_fasta(packed):
        length_bp = len(record.sequence)
        assert genome.window(record.name, -9, length_bp + 9) == (0, record.sequence)
