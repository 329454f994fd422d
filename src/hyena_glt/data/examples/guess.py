"""From the paths that a person names to a dataset's config, for the files that say it all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hyena_glt.config import DatasetConfig, dataset_config_from, load_dataset_config
from hyena_glt.errors import RecipeError
from hyena_glt.io.examples.rows import PARTS

LabelKind = Literal["class", "multilabel", "values", "bases", "none"]

_TABLES = (".csv", ".tsv", ".txt", ".jsonl", ".parquet")
_RECORDS = (".fa", ".fasta", ".fna", ".ffn", ".faa", ".fq", ".fastq")
_INTERVALS = (".bed", ".narrowpeak")
_IN_YAML = (".vcf", ".gff", ".gff3", ".gtf", ".bedgraph", ".bg", ".bw", ".bigwig")
_LABEL = "label"
_SEQUENCE = "sequence"
_NAME_COLUMN = 4  # of a BED


def guess_dataset(
    paths: Sequence[str],
    *,
    modality: Literal["dna", "rna", "protein"] = "dna",
    kind: LabelKind = "class",
    columns: Sequence[str] = (_LABEL,),
    sequence: str = _SEQUENCE,
    split: str | None = None,
    group: str | None = None,
    contig: str | None = None,
    genome: str | None = None,
    seed: int = 0,
    labelled: bool = True,
) -> DatasetConfig:
    """Return the config of the dataset that ``paths`` name.

    A path is a table (CSV, TSV, JSONL, Parquet), FASTA, FASTQ or BED; ``CLASS=PATH`` where all of
    a file is of one class; a folder with train, dev and test tables; one with a folder of tables
    for each part, as Genomic Benchmarks publishes; a dataset that Hugging Face saved; or one YAML,
    which is read as it is. Files called train, dev (valid, validation) or test are that part; where
    none says its part, a tenth is drawn for validation and another for test. Without ``labelled``
    neither labels nor parts are looked for.

    Raises RecipeError where a file needs more to be said than paths can; it names the YAML's keys.
    """
    of_tables = {
        "--kind": kind != "class",
        "--label": tuple(columns) != (_LABEL,),
        "--sequence": sequence != _SEQUENCE,
        "--split-column": split is not None,
        "--group": group is not None,
        "--contig": contig is not None,
    }
    if len(paths) == 1 and Path(paths[0]).suffix.lower() in (".yaml", ".yml"):
        of_all = {"--modality": modality != "dna", "--genome": genome is not None}
        _refuse({**of_tables, **of_all}, f"{paths[0]} says it all; change it, or use --set")
        return load_dataset_config(Path(paths[0]))
    sources: list[dict[str, Any]] = []
    for path in paths:
        class_name, equals, rest = path.partition("=")
        if equals and not Path(path).exists():
            sources.append(_of_one_class(class_name, rest, genome))
        else:
            sources += _sources(Path(path), genome)
    if not labelled:
        sources = [_plain(source) for source in sources]
    tables = [source for source in sources if source["kind"] == "table"]
    if not tables:
        _refuse(of_tables, "no path is a table")
    if all(source["kind"] != "intervals" for source in sources):
        _refuse({"--genome": genome is not None}, "no path holds positions")
    for table in tables:
        table["label"] = _label(kind, columns)
        table.update(sequence=sequence, split=split, group=group, contig=contig)
    said = labelled and any(_says_its_part(source) for source in sources)
    if said and split is None and not all(_says_its_part(source) for source in sources):
        silent = next(source["path"] for source in sources if not _says_its_part(source))
        raise RecipeError(
            f"{silent}: its name doesn't say which part it is, and another's does; call files "
            "train, dev and test, or name a column with --split-column"
        )
    by: dict[str, Any] = {"by": "file"} if said else {"by": "group" if group else "random"}
    data = {"modality": modality, "sources": sources, "split": by, "seed": seed}
    return dataset_config_from(data, ", ".join(paths))


def _refuse(asked: Mapping[str, bool], why: str) -> None:
    """Raise RecipeError at the first option that was given and would have no effect."""
    for option, given in asked.items():
        if given:
            raise RecipeError(f"{option} has no effect: {why}")


def _sources(path: Path, genome: str | None) -> list[dict[str, Any]]:
    """Return the sources at ``path``, without what columns of a table hold."""
    if path.is_dir():
        return _of_folder(path, genome)
    if not path.is_file():
        raise RecipeError(f"{path}: no such file or folder")
    suffix, part = _suffix(path), PARTS.get(_stem(path).lower())
    if suffix in _TABLES:
        return [{"kind": "table", "path": str(path), "part": part}]
    if suffix in _RECORDS:
        return [{"kind": "records", "path": str(path), "label": "none", "part": part}]
    if suffix in _INTERVALS:
        source = {"kind": "intervals", "path": str(path), "part": part, "label": "column"}
        return [{**source, "column": _NAME_COLUMN, "genome": _needed(genome, path)}]
    raise _unknown(path, suffix)


def _plain(source: dict[str, Any]) -> dict[str, Any]:
    """Return the source without labels and parts; a table's labels are its columns', said later."""
    plain = {**source, "part": None}
    if source["kind"] != "table" and source["label"] != "folder":
        plain = {**plain, "label": "none", "class_name": None}
    return plain | ({"column": None} if "column" in source else {})


def _of_one_class(class_name: str, path: str, genome: str | None) -> dict[str, Any]:
    """Return the source of a file whose records are all of ``class_name``."""
    suffix = _suffix(Path(path))
    part = PARTS.get(_stem(Path(path)).lower())
    source = {"path": path, "label": "class", "class_name": class_name, "part": part}
    if suffix in _RECORDS:
        return {"kind": "records", **source}
    if suffix in _INTERVALS:
        return {"kind": "intervals", "genome": _needed(genome, Path(path)), **source}
    raise RecipeError(
        f"{class_name}={path}: CLASS=PATH is for FASTA, FASTQ and BED; of a table name the column "
        "with --label"
    )


def _of_folder(folder: Path, genome: str | None) -> list[dict[str, Any]]:
    """Return the sources in a folder: Hugging Face's, Genomic Benchmarks', or tables by part."""
    if (folder / "dataset_info.json").is_file() or (folder / "dataset_dict.json").is_file():
        return [{"kind": "table", "path": str(folder)}]
    if (folder / "train").is_dir() and (folder / "test").is_dir():
        source = {"kind": "intervals", "path": str(folder), "label": "folder"}
        return [{**source, "genome": _needed(genome, folder)}]
    tables = sorted(
        path for path in folder.iterdir() if _suffix(path) in _TABLES and path.is_file()
    )
    parts = [path for path in tables if _stem(path).lower() in PARTS]
    if not parts:
        raise RecipeError(
            f"{folder}: found no train, dev or test table (CSV, TSV, JSONL, Parquet), no folders "
            "train and test, and no dataset of Hugging Face; name the files themselves"
        )
    plain: dict[str, Path] = {}
    for path in parts:
        other = plain.setdefault(_without_gz(path), path)
        if other is not path:
            raise RecipeError(
                f"{path}: found it beside {other.name}, which would take each row twice; remove "
                "one of them, or name the files themselves"
            )
    return [source for path in parts for source in _sources(path, genome)]


def _label(kind: LabelKind, columns: Sequence[str]) -> dict[str, Any]:
    """Return a table's label of ``kind``, in ``columns``."""
    if kind == "none":
        return {"kind": "none"}
    if kind == "values" or (kind == "multilabel" and len(columns) > 1):
        return {"kind": kind, "columns": list(columns)}
    if len(columns) != 1:
        raise RecipeError(f"a label of kind {kind} stands in one column; found {len(columns)}")
    return {"kind": kind, "column": columns[0]}


def _says_its_part(source: dict[str, Any]) -> bool:
    """Whether a source says which part each of its examples belongs to."""
    by_folder = source["kind"] == "intervals" and source["label"] == "folder"
    is_dict = (Path(source["path"]) / "dataset_dict.json").is_file()
    return bool(source.get("part") or source.get("split") or by_folder or is_dict)


def _needed(genome: str | None, path: Path) -> str:
    if genome is None:
        raise RecipeError(f"{path}: holds positions; name the genome that they are of: --genome")
    return genome


def is_table(path: Path) -> bool:
    """Return whether the suffix of ``path`` is a table's."""
    return _suffix(path) in _TABLES


def _suffix(path: Path) -> str:
    """Return the suffix that says what is in ``path``, in lower case; .gz is seen through."""
    return Path(_without_gz(path)).suffix.lower()


def _without_gz(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".bgz")


def _stem(path: Path) -> str:
    return path.name.split(".", 1)[0]


def _unknown(path: Path, suffix: str) -> RecipeError:
    if suffix in _IN_YAML:
        return RecipeError(
            f"{path}: {suffix} needs a genome and windows to be named; write a YAML with modality, "
            "split and sources (kind: annotation, signal or variants): 'hyena-glt schema data' "
            "prints its schema"
        )
    known = " ".join((*_TABLES, *_RECORDS, *_INTERVALS))
    return RecipeError(f"{path}: found the suffix {suffix!r}, expected one of {known}, or .yaml")
