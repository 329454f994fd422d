"""Where labelled sequences come from: which files, what in them is the sequence and the label."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from hyena_glt.config.base import Config

Part = Literal["train", "validation", "test"]

_PART = "the part of the split that all of this file's examples belong to"
_GENOME = "path of the FASTA (plain, gzip, bgzip) or .2bit file that positions speak of"


class ClassLabelConfig(Config):
    """One class an example, in a column."""

    kind: Literal["class"]
    column: str


class MultiLabelConfig(Config):
    """Any number of classes an example: names in one column, or a column of 0 and 1 for each."""

    kind: Literal["multilabel"]
    column: str | None = Field(None, description="names with the separator between; may be empty")
    separator: str = Field(";", min_length=1)
    columns: tuple[str, ...] | None = Field(
        None, min_length=1, description="a column of 0 and 1 for each class"
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> "MultiLabelConfig":
        if (self.column is None) == (self.columns is None):
            raise ValueError("give column or columns, one of them")
        if self.columns is not None and "separator" in self.model_fields_set:
            raise ValueError("separator has no effect with columns; remove it")
        return self


class ValuesLabelConfig(Config):
    """One number or several an example, a column for each."""

    kind: Literal["values"]
    columns: tuple[str, ...] = Field(min_length=1)


class BasesLabelConfig(Config):
    """A class for each base: a column that holds one symbol a base."""

    kind: Literal["bases"]
    column: str


class NoLabelConfig(Config):
    """Sequences alone."""

    kind: Literal["none"]


LabelConfig = Annotated[
    ClassLabelConfig | MultiLabelConfig | ValuesLabelConfig | BasesLabelConfig | NoLabelConfig,
    Field(discriminator="kind"),
]


class TableSourceConfig(Config):
    """CSV, TSV, JSONL (each plain or gzip), Parquet, or a dataset that Hugging Face saved to disk.

    The suffix says which; a folder is one of Hugging Face's.
    """

    kind: Literal["table"]
    path: str
    label: LabelConfig
    sequence: str = Field("sequence", description="column of the sequence")
    alternative: str | None = Field(None, description="column of a second sequence, for pair tasks")
    name: str | None = Field(None, description="column of names; rows are numbered without one")
    split: str | None = Field(None, description="column that says train, validation or test")
    group: str | None = Field(None, description="column of what must stay on one side of a split")
    contig: str | None = Field(None, description="column of the chromosome")
    part: Part | None = Field(None, description=_PART)

    @model_validator(mode="after")
    def _one_split(self) -> "TableSourceConfig":
        if self.split is not None and self.part is not None:
            raise ValueError("split and part both say which part an example belongs to; give one")
        return self


class RecordsSourceConfig(Config):
    """FASTA or FASTQ: records of one class, with classes in headers, or with labels in a table."""

    kind: Literal["records"]
    path: str
    label: Literal["class", "header", "table", "none"]
    class_name: str | None = Field(
        None, min_length=1, description="with label=class: that of all records"
    )
    pattern: str | None = Field(
        None,
        description="with label=header: a regular expression whose first group, in the line after "
        "'>', is the class",
    )
    table: TableSourceConfig | None = Field(
        None, description="with label=table: its name column names records; it has no sequence"
    )
    part: Part | None = Field(None, description=_PART)

    @model_validator(mode="after")
    def _what_labels(self) -> "RecordsSourceConfig":
        needs = {"class": "class_name", "header": "pattern", "table": "table"}
        for label, name in needs.items():
            given = getattr(self, name) is not None
            if given != (self.label == label):
                verb = "has no effect with" if given else "is needed for"
                raise ValueError(f"{name} {verb} label={self.label}")
        return self


class IntervalsSourceConfig(Config):
    """Intervals of a genome: BED, narrowPeak, or a folder as Genomic Benchmarks publishes them.

    An interval on the minus strand is read from that strand. In a folder train/ and test/ hold one
    table for each class, whose order is that of their names.
    """

    kind: Literal["intervals"]
    path: str
    genome: str = Field(description=_GENOME)
    label: Literal["class", "column", "values", "folder", "none"]
    class_name: str | None = Field(None, description="with label=class: that of all intervals")
    column: int | None = Field(
        None, ge=4, description="with label=column or values: which column of the BED, from 1"
    )
    window_bp: int | None = Field(
        None, ge=1, description="bases around each interval's middle, instead of the interval"
    )
    part: Part | None = Field(None, description=_PART)

    @model_validator(mode="after")
    def _what_labels(self) -> "IntervalsSourceConfig":
        for name, labels in (("class_name", ("class",)), ("column", ("column", "values"))):
            given = getattr(self, name) is not None
            if given != (self.label in labels):
                verb = "has no effect with" if given else "is needed for"
                raise ValueError(f"{name} {verb} label={self.label}")
        if self.label == "folder" and self.part is not None:
            raise ValueError("part has no effect with label=folder: its folders say the part")
        return self


class AnnotationSourceConfig(Config):
    """A genome in windows, each base labelled by the features of a GFF3 or GTF that cover it.

    Classes are named in ``features``; a base in none is ``background``. With ``stranded`` a class
    is one of a strand, as in ``coding+`` and ``coding-``. Where several cover a base, the one that
    ``features`` names first has it; where one class covers it on both strands, the plus strand.
    With ``codons`` a class is that of a place in the codon too, as in ``coding1+``, by the phase of
    each feature; of features that overlap on one strand the first in the file has a base.
    """

    kind: Literal["annotation"]
    path: str
    genome: str = Field(description=_GENOME)
    features: dict[str, str] = Field(min_length=1, description="feature type to class: CDS: coding")
    stranded: bool = True
    codons: bool = Field(
        False, description="each place in the codon is a class; takes stranded and phases"
    )
    window_bp: int = Field(ge=1)
    contigs: tuple[str, ...] | None = None
    part: Part | None = Field(None, description=_PART)

    @model_validator(mode="after")
    def _codons_have_a_strand(self) -> "AnnotationSourceConfig":
        if self.codons and not self.stranded:
            raise ValueError(
                "codons=true with stranded=false: a codon is read on one strand; remove one"
            )
        return self


class SignalSourceConfig(Config):
    """A genome in windows, with a number for each bin of bases from bedGraph or bigWig files."""

    kind: Literal["signal"]
    paths: dict[str, str] = Field(min_length=1, description="name of a track to its file")
    genome: str = Field(description=_GENOME)
    window_bp: int = Field(ge=1)
    bin_bp: int = Field(1, ge=1, description="bases whose mean is one number")
    missing: Literal["none", "zero"] = Field(
        "none",
        description="what a base without a score has: no number, which counts nowhere, or 0, as in "
        "coverage whose zeros were left out",
    )
    contigs: tuple[str, ...] | None = None
    part: Part | None = Field(None, description=_PART)

    @model_validator(mode="after")
    def _whole_bins(self) -> "SignalSourceConfig":
        if self.window_bp % self.bin_bp:
            raise ValueError(f"bin_bp={self.bin_bp} doesn't divide window_bp={self.window_bp}")
        return self


class VariantsSourceConfig(Config):
    """Variants of a VCF, each as a window with the reference and one with the alternative."""

    kind: Literal["variants"]
    path: str
    genome: str = Field(description=_GENOME)
    label: Literal["class", "values", "none"]
    info: str | None = Field(None, description="INFO key that holds the class or the number")
    window_bp: int = Field(ge=1)
    part: Part | None = Field(None, description=_PART)

    @model_validator(mode="after")
    def _what_labels(self) -> "VariantsSourceConfig":
        if (self.info is not None) != (self.label != "none"):
            raise ValueError("info is needed for label=class and values, and for those alone")
        return self


ExamplesConfig = Annotated[
    TableSourceConfig
    | RecordsSourceConfig
    | IntervalsSourceConfig
    | AnnotationSourceConfig
    | SignalSourceConfig
    | VariantsSourceConfig,
    Field(discriminator="kind"),
]


class RandomSplitConfig(Config):
    """Examples, or whole groups of them, are drawn at random."""

    by: Literal["random", "group", "similarity"]
    validation: float = Field(0.1, ge=0, lt=1)
    test: float = Field(0.1, ge=0, lt=1)

    @model_validator(mode="after")
    def _something_trains(self) -> "RandomSplitConfig":
        if self.validation + self.test >= 1:
            raise ValueError("validation + test leave nothing to train on; use a sum below 1")
        return self


class ChromosomeSplitConfig(Config):
    """Examples of the chromosomes named are kept."""

    by: Literal["chromosome"]
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = Field(min_length=1)


class FileSplitConfig(Config):
    """Sources say it, by ``part`` or by a column; ``validation`` may be drawn from train."""

    by: Literal["file"]
    validation: float = Field(
        0, ge=0, lt=1, description="share of train, drawn at random, whole groups where it has them"
    )


class FoldsSplitConfig(Config):
    """The part ``test`` is one of ``folds`` equal parts, and ``validation`` the one after it."""

    by: Literal["folds"]
    folds: int = Field(ge=3)
    fold: int = Field(ge=0)
    keep: Literal["random", "group", "similarity"] = Field(
        "random", description="what stays together"
    )

    @model_validator(mode="after")
    def _fold_exists(self) -> "FoldsSplitConfig":
        if self.fold >= self.folds:
            raise ValueError(f"fold={self.fold} isn't below folds={self.folds}")
        return self


ExamplesSplitConfig = Annotated[
    RandomSplitConfig | ChromosomeSplitConfig | FileSplitConfig | FoldsSplitConfig,
    Field(discriminator="by"),
]


class QualityConfig(Config):
    """Which examples are dropped; each drop is counted under its reason."""

    min_bp: int = Field(1, ge=1)
    max_bp: int | None = Field(None, ge=1)
    max_n_share: float = Field(1.0, ge=0, le=1, description="share of N")
    max_ambiguous_share: float = Field(
        1.0, ge=0, le=1, description="share of letters that name several, N too"
    )
    duplicates: Literal["keep", "drop"] = Field(
        "keep", description="drop: of equal sequences with equal labels the first is kept"
    )


class DatasetConfig(Config):
    """All that decides a prepared dataset."""

    modality: Literal["dna", "rna", "protein"]
    sources: tuple[ExamplesConfig, ...] = Field(min_length=1)
    split: ExamplesSplitConfig
    quality: QualityConfig = QualityConfig()
    seed: int = Field(0, ge=0, lt=2**63)
