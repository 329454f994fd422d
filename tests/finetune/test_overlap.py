"""Rows of a dataset that lie where a network was pretrained, by literal coordinates."""

import json
from pathlib import Path
from typing import Any

import pytest

from hyena_glt.checkpoint.tasks import TaskCheckpoint, TaskProvenance
from hyena_glt.config.examples import DatasetConfig
from hyena_glt.data import Region, Split, file_sha256
from hyena_glt.data.examples import Dataset, open_dataset, prepare_dataset
from hyena_glt.errors import RecipeError
from hyena_glt.finetune import overlap
from hyena_glt.finetune.overlap import check_overlap, pretraining_overlap

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
    """Say what the network at any folder was pretrained on, and what it began with."""

    def say(splits: dict[str, Split], donor: Path | None = None) -> Path:
        checkpoint = TaskCheckpoint.__new__(TaskCheckpoint)
        begun = None if donor is None else str(donor)
        provenance = TaskProvenance(
            command="", dataset_sha256="", epochs=1, validation={}, initialised_from=begun
        )
        object.__setattr__(checkpoint, "splits", splits)
        object.__setattr__(checkpoint, "provenance", provenance)
        monkeypatch.setattr(overlap, "load_task_checkpoint", lambda folder: checkpoint)
        return Path("tuned")

    return say


def donor(folder: Path, splits: dict[str, Split], sha256: str) -> Path:
    path = folder / "pretrained"
    path.mkdir(exist_ok=True)
    regions = {name: split.as_data() for name, split in splits.items()}
    (path / "regions.json").write_text(json.dumps(regions))
    provenance = {"data_sha256": dict.fromkeys(splits, sha256)}
    (path / "provenance.json").write_text(json.dumps(provenance))
    return path


def test_an_interval_overlaps_by_one_base_and_not_by_touching(
    tmp_path: Path, genome: Path, pretrained: Any
) -> None:
    rows = ["chr1 50 100", "chr1 200 300", "chr1 50 101", "chr1 299 301", "chr1 199 200 x 0 -"]
    found = intervals(tmp_path, genome, *rows, "chr1 400 450", "chr2 100 200")
    tuned = pretrained({"g.fa": TRAINED})
    seen = pretraining_overlap(tuned, found, "train")
    assert (seen.genomes, seen.rows, seen.checked, seen.overlapping) == (1, 7, 7, 3)
    assert seen.first is not None
    assert seen.first.startswith(f"chr1:50-101(+) ({tmp_path}/i.bed: line 3), in chr1:100-200 of g")
    with pytest.raises(RecipeError, match=r"3 of 7 examples of train lie .*chr1:50-101.*--allow-o"):
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


def test_genomes_are_told_by_their_checksums(tmp_path: Path, genome: Path, pretrained: Any) -> None:
    found = intervals(tmp_path, genome, "chr1 150 160")
    splits = {"moved/away.fa": TRAINED}
    sha256 = file_sha256(genome)
    for known, overlapping in ((sha256, 1), ("another", 0)):
        tuned = pretrained(splits, donor(tmp_path, splits, known))
        assert pretraining_overlap(tuned, found, "train").overlapping == overlapping
    # A donor that was trained on other regions since, or is gone, tells nothing.
    other = {"moved/away.fa": Split((Region("chr9", 0, 5),), (), ())}
    for folder in (donor(tmp_path, other, "another"), tmp_path / "gone"):
        assert pretraining_overlap(pretrained(splits, folder), found, "train").overlapping == 1


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
        assert (seen.checked, seen.overlapping) == (10, 2)
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
