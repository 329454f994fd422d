"""From paths to a dataset's config: what files say themselves, and what must be asked for."""

import json
from pathlib import Path

import pytest

from hyena_glt.config.examples import (
    ClassLabelConfig,
    FileSplitConfig,
    IntervalsSourceConfig,
    RandomSplitConfig,
    RecordsSourceConfig,
    TableSourceConfig,
    ValuesLabelConfig,
)
from hyena_glt.data.examples.guess import guess_dataset
from hyena_glt.errors import RecipeError


def touch(folder: Path, *names: str) -> list[str]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("sequence,label\nACGT,x\n", encoding="utf-8")
    return [str(folder / name) for name in names]


def test_a_folder_of_gue_has_its_parts(tmp_path: Path) -> None:
    touch(tmp_path, "test.csv", "dev.csv", "train.csv", "README.md")
    found = guess_dataset([str(tmp_path)])
    parts = {Path(s.path).name: s.part for s in found.sources if isinstance(s, TableSourceConfig)}
    assert parts == {"dev.csv": "validation", "test.csv": "test", "train.csv": "train"}
    assert isinstance(found.split, FileSplitConfig)
    (label,) = {s.label for s in found.sources if isinstance(s, TableSourceConfig)}
    assert label == ClassLabelConfig(kind="class", column="label")


def test_one_table_is_split_at_random_and_with_groups_by_them(tmp_path: Path) -> None:
    paths = touch(tmp_path, "peaks.tsv.gz")
    found = guess_dataset(paths)
    assert isinstance(found.split, RandomSplitConfig)
    assert (found.split.by, found.split.validation, found.split.test) == ("random", 0.1, 0.1)
    found = guess_dataset(paths, group="gene")
    assert isinstance(found.split, RandomSplitConfig)
    assert found.split.by == "group"


def test_numbers_and_columns(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "deepstarr.parquet")
    found = guess_dataset([path], kind="values", columns=["dev", "hk"], sequence="dna", split="set")
    (source,) = found.sources
    assert isinstance(source, TableSourceConfig)
    assert source.label == ValuesLabelConfig(kind="values", columns=("dev", "hk"))
    assert (source.sequence, source.split) == ("dna", "set")
    assert isinstance(found.split, FileSplitConfig)


def test_classes_by_file(tmp_path: Path) -> None:
    one, other = touch(tmp_path, "a.fa.gz", "b.fa")
    found = guess_dataset([f"promoter={one}", f"background={other}"])
    sources = [s for s in found.sources if isinstance(s, RecordsSourceConfig)]
    assert [(s.class_name, s.path) for s in sources] == [("promoter", one), ("background", other)]
    assert found.split.by == "random"


def test_classes_by_file_and_part(tmp_path: Path) -> None:
    paths = touch(tmp_path, "pos/train.fa", "neg/train.fa", "pos/test.fa", "neg/test.bed")
    named = [f"{name}={path}" for name, path in zip("abab", paths, strict=True)]
    found = guess_dataset(named, genome="g.fa")
    assert [(s.part, found.split.by) for s in found.sources] == [
        *[("train", "file")] * 2,
        *[("test", "file")] * 2,
    ]


def test_without_labels_neither_they_nor_parts_are_looked_for(tmp_path: Path) -> None:
    paths = touch(tmp_path, "train.csv", "other.csv", "windows.bed", "a.fa")
    found = guess_dataset(paths, genome="g.fa", labelled=False)
    assert [s.part for s in found.sources] == [None] * 4
    assert [getattr(s, "column", None) for s in found.sources] == [None] * 4
    labels = [s.label for s in found.sources if s.kind in ("intervals", "records")]
    assert labels == ["none", "none"]
    with pytest.raises(RecipeError, match="its name doesn't say which part"):
        guess_dataset(paths, genome="g.fa")


def test_a_folder_of_genomic_benchmarks_needs_its_genome(tmp_path: Path) -> None:
    touch(tmp_path, "train/negative.csv", "train/positive.csv", "test/positive.csv")
    with pytest.raises(RecipeError, match="name the genome that they are of: --genome"):
        guess_dataset([str(tmp_path)])
    (source,) = guess_dataset([str(tmp_path)], genome="hg38.2bit").sources
    assert isinstance(source, IntervalsSourceConfig)
    assert (source.label, source.genome) == ("folder", "hg38.2bit")


def test_a_dataset_of_hugging_face_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    found = guess_dataset([str(tmp_path)])
    assert [source.kind for source in found.sources] == ["table"]
    assert isinstance(found.split, FileSplitConfig)


def test_a_yaml_says_it_all(tmp_path: Path) -> None:
    path = tmp_path / "genes.yaml"
    path.write_text(
        "modality: dna\n"
        "sources: [{kind: annotation, path: a.gff3, genome: a.fa, features: {CDS: coding},"
        " window_bp: 1000}]\n"
        "split: {by: chromosome, test: [chrXV]}\n"
    )
    assert guess_dataset([str(path)]).sources[0].kind == "annotation"
    with pytest.raises(RecipeError, match="--label has no effect"):
        guess_dataset([str(path)], columns=["y"])
    path.write_text(path.read_text() + "sede: 3\n")
    with pytest.raises(RecipeError, match="sede: unknown key; did you mean 'seed'"):
        guess_dataset([str(path)])


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["genes.gff3.gz"], "kind: annotation"),
        (["table.xlsx"], "found the suffix '.xlsx', expected one of .csv"),
        (["train.csv", "more.csv"], "more.csv: its name doesn't say which part"),
        (["sites.bed"], "name the genome"),
    ],
)
def test_what_paths_do_not_say_is_asked_for(tmp_path: Path, names: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        guess_dataset(touch(tmp_path, *names))


def test_options_without_effect_and_missing_files(tmp_path: Path) -> None:
    (path,) = touch(tmp_path, "a.fa")
    with pytest.raises(RecipeError, match="--split-column has no effect: no path is a table"):
        guess_dataset([path], split="set")
    with pytest.raises(RecipeError, match="--genome has no effect"):
        guess_dataset([path], genome="x.fa")
    with pytest.raises(RecipeError, match="no such file"):
        guess_dataset([str(tmp_path / "none.csv")])
    with pytest.raises(RecipeError, match="CLASS=PATH is for FASTA"):
        guess_dataset([f"x={tmp_path / 'none.csv'}"])
    with pytest.raises(RecipeError, match="stands in one column; found 2"):
        guess_dataset(touch(tmp_path, "t.csv"), columns=["a", "b"])


def test_a_folder_with_a_table_and_its_gzip_would_take_rows_twice(tmp_path: Path) -> None:
    touch(tmp_path, "train.csv", "train.csv.gz", "test.csv")
    with pytest.raises(RecipeError, match=r"train\.csv\.gz: found it beside train\.csv"):
        guess_dataset([str(tmp_path)])
