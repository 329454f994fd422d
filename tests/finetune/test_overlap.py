"""Rows of a dataset that lie where a network was pretrained, by literal coordinates."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from cli.asking import save
from typer.testing import CliRunner

from hyena_glt.checkpoint.tasks import TaskCheckpoint, TaskProvenance
from hyena_glt.cli.app import app
from hyena_glt.config.examples import DatasetConfig
from hyena_glt.data import Region, Split, file_sha256
from hyena_glt.data.examples import Dataset, open_dataset, prepare_dataset
from hyena_glt.errors import RecipeError
from hyena_glt.finetune import overlap
from hyena_glt.finetune.overlap import Overlap, check_overlap, pretraining_overlap

# chr1:100-200 and 300-400 trained; 200-300 was held out.
TRAINED = Split(
    (Region("chr1", 300, 400), Region("chr1", 100, 200)), (), (Region("chr1", 200, 300),)
)


@pytest.fixture
def genome(tmp_path: Path) -> Path:
    path = tmp_path / "g.fa"
    path.write_text(f">chr1\n{'ACGTTGCAAC' * 50}\n>chr2\n{'GATTACACCA' * 50}\n")
    return path


def prepared(folder: Path, **source: Any) -> Dataset:
    path = folder / "dataset"
    config = {"modality": "dna", "sources": [source | {"part": "train"}], "split": {"by": "file"}}
    prepare_dataset(DatasetConfig.model_validate(config), path)
    return open_dataset(path)


def intervals(folder: Path, genome: Path, *lines: str) -> Dataset:
    (folder / "i.bed").write_text("\n".join([line.replace(" ", "\t") for line in lines] + [""]))
    return prepared(
        folder, kind="intervals", path=f"{folder}/i.bed", genome=f"{genome}", label="none"
    )


@pytest.fixture
def pretrained(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say what the network at any folder was pretrained on, and the checksum of its genomes."""

    def say(splits: dict[str, Split], sha256: str | None = None) -> Path:
        checkpoint = TaskCheckpoint.__new__(TaskCheckpoint)
        provenance = TaskProvenance(
            command="",
            dataset_sha256="",
            epochs=1,
            validation={},
            initialised_from=None,
            pretraining_sha256={} if sha256 is None else dict.fromkeys(splits, sha256),
        )
        object.__setattr__(checkpoint, "splits", splits)
        object.__setattr__(checkpoint, "provenance", provenance)
        monkeypatch.setattr(overlap, "load_task_checkpoint", lambda folder: checkpoint)
        return Path("tuned")

    return say


def test_an_interval_overlaps_by_one_base_and_not_by_touching(
    tmp_path: Path, genome: Path, pretrained: Any
) -> None:
    rows = ["chr1 50 100", "chr1 200 300", "chr1 50 101", "chr1 299 301", "chr1 199 200 x 0 -"]
    found = intervals(tmp_path, genome, *rows, "chr1 400 450", "chr2 100 200")
    tuned = pretrained({"g.fa": TRAINED})
    seen = pretraining_overlap(tuned, found, "train")
    assert (seen.genomes, seen.rows, seen.checked, seen.overlapping) == (1, 7, 6, 3)
    assert seen.first is not None
    assert seen.first.startswith(f"chr1:50-101(+) ({tmp_path}/i.bed: line 3), in chr1:100-200 of g")
    with pytest.raises(RecipeError, match=r"3 of 6 examples of train lie .*chr1:50-101.*--allow-o"):
        check_overlap([tuned], found, "train")
    assert check_overlap([tuned], found, "train", allow=True) == {"tuned": seen}


def test_a_region_inside_an_interval_is_found(
    tmp_path: Path, genome: Path, pretrained: Any
) -> None:
    # Regions of a mixture may nest: the long one reaches past a later start.
    regions = (Region("chr1", 0, 400), Region("chr1", 10, 20), Region("chr1", 30, 40))
    found = intervals(tmp_path, genome, "chr1 350 360", "chr1 420 430", "chr1 5 60")
    seen = pretraining_overlap(pretrained({"g": Split(regions, (), ())}), found, "train")
    assert seen.overlapping == 2
    assert "in chr1:0-400 of g" in str(seen.first)


def test_another_checksum_may_be_the_same_genome(
    tmp_path: Path, genome: Path, pretrained: Any
) -> None:
    """A genome has many files: only a contig that is shorter than what trained is another."""
    found = intervals(tmp_path, genome, "chr1 150 160", "chr2 150 160")
    splits = {"moved/away.fa.gz": TRAINED}
    sha256 = file_sha256(genome)
    # Of the same file chr2 is compared, though nothing of it is in the split.
    for known, seen in ((sha256, (2, 2, 1)), ("another", (2, 1, 1))):
        tuned = pretrained(splits, known)
        assert pretraining_overlap(tuned, found, "train")[1:4] == seen
    with pytest.raises(
        RecipeError, match=r"1 of 1 examples .*; 1 more could not be compared; geno"
    ):
        check_overlap([tuned], found, "train")
    longer = {"g": Split((Region("chr1", 100, 501),), (), (Region("chr2", 0, 500),))}
    tuned = pretrained(longer, "another")
    assert pretraining_overlap(tuned, found, "train") == (1, 2, 1, 0, None, 1)


def test_a_compressed_genome_is_the_same_genome(
    tmp_path: Path, genome: Path, pretrained: Any
) -> None:
    packed = tmp_path / "g.fa.gz"
    packed.write_bytes(gzip.compress(genome.read_bytes()))
    splits = {str(packed): TRAINED}
    tuned = pretrained(splits, file_sha256(packed))
    found = pretraining_overlap(tuned, intervals(tmp_path, genome, "chr1 150 160"), "train")
    assert (found.checked, found.overlapping, found.by_name) == (1, 1, 1)
    assert "compared by contig names" in found.says("tuned")


def test_nothing_is_claimed_of_what_was_not_compared() -> None:
    none = Overlap(1, 7, 0, 0, None, 0).says("one", "test")
    assert none.startswith("none of 7 examples of test could be compared")
    some = Overlap(1, 7, 5, 0, None, 0).says("one")
    assert some.startswith("5 examples were compared with the regions that one was pretrained on")
    assert some.endswith("none lies there; 2 more could not be compared")
    assert Overlap(0, 7, 0, 0, None, 0).says("fresh") == ""


def test_contigs_may_lack_their_chr(tmp_path: Path, genome: Path, pretrained: Any) -> None:
    found = intervals(tmp_path, genome, "chr1 150 160")
    splits = {"ensembl.fa": Split((Region("1", 100, 200),), (), ())}
    assert pretraining_overlap(pretrained(splits), found, "train").overlapping == 1


def test_windows_of_annotation_and_signal(tmp_path: Path, genome: Path, pretrained: Any) -> None:
    (tmp_path / "a.gff").write_text("chr1\tx\tgene\t10\t20\t.\t+\t.\tID=a\n")
    (tmp_path / "s.bedgraph").write_text("chr1\t0\t500\t1\nchr2\t0\t500\t2\n")
    tuned = pretrained({"g": TRAINED})
    sources: list[dict[str, Any]] = [
        {"kind": "annotation", "path": f"{tmp_path}/a.gff", "features": {"gene": "gene"}},
        {"kind": "signal", "paths": {"s": f"{tmp_path}/s.bedgraph"}},
    ]
    for source in sources:
        folder = tmp_path / source["kind"]
        folder.mkdir()
        found = prepared(folder, **source, genome=str(genome), window_bp=100)
        seen = pretraining_overlap(tuned, found, "train")
        assert (seen.checked, seen.overlapping) == (5, 2)
        assert str(seen.first).startswith("chr1:100-200 (")


def test_a_variant_lies_where_its_window_does(
    tmp_path: Path, genome: Path, pretrained: Any
) -> None:
    # 0-based 90, 95, 96 and 205, A T G T, in windows of 11 bp: 85-96, 90-101, 91-102, 200-211.
    variants = [(91, "A", "C"), (96, "G", "C"), (97, "C", "A"), (206, "G", "C"), (2, "C", "A")]
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    lines = "".join(f"chr1\t{at}\t.\t{ref}\t{alt}\t.\t.\t.\n" for at, ref, alt in variants)
    (tmp_path / "v.vcf").write_text(header + lines)
    found = prepared(
        tmp_path,
        kind="variants",
        path=f"{tmp_path}/v.vcf",
        genome=str(genome),
        label="none",
        window_bp=11,
    )
    seen = pretraining_overlap(pretrained({"g": TRAINED}), found, "train")
    assert (seen.checked, seen.overlapping) == (5, 2)
    assert str(seen.first).startswith("chr1:96:G>C (")


def test_a_window_moved_inwards_is_looked_for_where_it_is(
    tmp_path: Path, genome: Path, pretrained: Any
) -> None:
    """Of chr1's 500 bp the window of a variant at 498 is 350-500, that of 3 is 0-150."""
    header = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    lines = "chr1\t498\t.\tA\tC\t.\t.\t.\nchr1\t3\t.\tG\tC\t.\t.\t.\n"
    (tmp_path / "v.vcf").write_text(header + lines)
    source = {"kind": "variants", "path": f"{tmp_path}/v.vcf", "genome": f"{genome}"}
    found = prepared(tmp_path, **source, label="none", window_bp=150)

    def seen(start: int, end: int) -> int:
        split = Split((Region("chr1", start, end),), (), ())
        return pretraining_overlap(pretrained({"g": split}), found, "train").overlapping

    near = [(349, 350), (350, 351), (149, 150), (150, 151)]
    assert [seen(*region) for region in near] == [0, 1, 1, 0]
    # Without the genome it may have been moved as far as REF: to 348-498 at the soonest.
    genome.unlink()
    assert [seen(*region) for region in [(347, 348), (348, 349), (571, 572)]] == [0, 1, 1]


def test_rows_of_tables_and_fresh_networks_arent_checked(
    tmp_path: Path, genome: Path, pretrained: Any
) -> None:
    (tmp_path / "t.csv").write_text("sequence,name\nACGT,chr1:150-160\n")
    table = prepared(
        tmp_path, kind="table", path=f"{tmp_path}/t.csv", name="name", label={"kind": "none"}
    )
    assert pretraining_overlap(pretrained({"g": TRAINED}), table, "train")[:4] == (1, 1, 0, 0)
    (tmp_path / "fresh").mkdir()
    found = intervals(tmp_path / "fresh", genome, "chr1 150 160")
    assert pretraining_overlap(pretrained({}), found, "train")[:4] == (0, 1, 0, 0)


def test_rank_refuses_labelled_examples_that_pretraining_saw(tmp_path: Path) -> None:
    """The network was trained on chr:0-9; unlabelled examples are ranked all the same."""
    model = save(tmp_path / "checkpoint", "dna")
    (tmp_path / "g.fa").write_text(f">chr\n{'ACGTTGCAAC' * 10}\n")
    key = '##INFO=<ID=S,Number=1,Type=String,Description="x">'
    head = f"##fileformat=VCFv4.2\n{key}\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    lines = "".join(f"chr\t{at}\t.\tA\tC\t.\t.\tS={s}\n" for at, s in ((11, "a"), (61, "b")))
    (tmp_path / "v.vcf").write_text(head + lines)
    (tmp_path / "i.bed").write_text("chr\t8\t20\nchr\t9\t30\n")

    def ranked(path: str, *options: str) -> Any:
        asked = ["rank", str(model), path, "--genome", f"{tmp_path}/g.fa", *options]
        return CliRunner().invoke(app, [*asked, "--out", f"{tmp_path}/r.tsv"])

    variants = (f"{tmp_path}/v.vcf", "--label", "S", "--window-bp", "21", "--replicates", "10")
    classed = (f"one={tmp_path}/i.bed", "--replicates", "10")
    for asked in (variants, classed):
        shown = ranked(*asked)
        assert shown.exit_code == 1
        assert f"1 of 2 examples lie in regions that {model} was" in shown.stderr
        assert not (tmp_path / "r.tsv").exists()
    shown = ranked(*variants, "--allow-overlap")
    assert shown.exit_code == 0, shown.stderr
    assert "warning: 1 of 2 examples" in shown.stderr
    assert ranked(f"{tmp_path}/v.vcf", "--window-bp", "21").exit_code == 0
