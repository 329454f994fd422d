"""Variants in, a file of their effects out: VCF with INFO fields, or a table; constant memory."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hyena_glt.errors import SequenceFileError, StorageError
from hyena_glt.io import InfoField, TableWriter, Variant, VcfRecord, VcfWriter, check_output
from hyena_glt.score.sites import BAD_RECORD, NOT_SCORED, OnBad
from hyena_glt.score.variants import Effect

SUFFIXES = (".vcf", ".vcf.gz", ".tsv", ".parquet")
# What ``score_variants`` does once it knows the network, the genome and the window.
Scorer = Callable[[Iterable[Variant], OnBad], Iterator[tuple[Variant, tuple[Effect, ...]]]]
OnRecord = Callable[[Variant, tuple[Effect, ...]], None]

FIRST_BAD = 10  # wrong records that a tally holds; the file beside the output has them all

_REASONS = "; ".join(f"{reason}: {why}" for reason, why in (NOT_SCORED | BAD_RECORD).items())
INFO = (
    InfoField(
        "GLT_DLL",
        "A",
        "Float",
        "Log-likelihood of the window with ALT minus that of the window with REF, nats, below 0 "
        "where the model finds ALT worse (bidirectional model: of the changed bases alone, "
        "masked); a longer window is less likely by its length alone: use GLT_DLL_FLANK for indels",
    ),
    InfoField(
        "GLT_DLL_FLANK",
        "A",
        "Float",
        "GLT_DLL over the bases that both windows share, nats; use GLT_DLL_FLANK for indels",
    ),
    InfoField(
        "GLT_SCORED_BP",
        "A",
        "Integer",
        "Bases of the window with ALT, bp, those of GLT_CUT_BP too (bidirectional model: masked "
        "bases)",
    ),
    InfoField("GLT_REASON", "A", "String", f"Why ALT has no score, no unit; {_REASONS}"),
    # Declared always, so that an earlier run's values never stay.
    InfoField(
        "GLT_CUT_BP",
        "A",
        "Integer",
        "Where a tail tolerance was asked for: bases of the window with ALT, bp, that were left "
        "unread and count as no difference; those of both strands together where both are read",
    ),
)
COLUMNS = {
    "chrom": str,
    "pos": int,
    "id": str,
    "ref": str,
    "alt": str,
    "glt_dll": float,
    "glt_dll_flank": float,
    "glt_scored_bp": int,
    "glt_reason": str,
}
COLUMNS_WITH_CUT = COLUMNS | {"glt_cut_bp": int}
BAD_COLUMNS = {"line": int, "chrom": str, "pos": int, "ref": str, "alt": str}
BAD_COLUMNS |= {"reason": str, "message": str}


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A record that isn't of this genome, as the file beside the output lists it."""

    line: int  # of the VCF, from 1; where there is no VCF, which variant it is
    chrom: str
    pos: int  # from 1, as in a VCF
    ref: str
    alt: str
    reason: str
    message: str


@dataclass
class Tally:
    """What was scored and what wasn't."""

    records: int = 0
    scored: int = 0  # alleles
    not_scored: Counter[str] = field(default_factory=Counter)  # alleles, by reason
    cut_alleles: int = 0  # whose windows weren't read to the end, the effect having died out
    cut_bp: int = 0  # what was left out of them
    bad_records: int = 0
    first_bad: list[BadRecord] = field(default_factory=list)  # FIRST_BAD of them
    bad_path: Path | None = None  # where all of them are listed, with ``skip_bad``
    renamed: dict[str, str] = field(default_factory=dict)  # contigs: the file's name, the genome's
    indexed: bool | None = None  # whether a .vcf.gz got its index; None for any other file

    def add(self, effects: Sequence[Effect]) -> None:
        """Count one record."""
        self.records += 1
        for effect in effects:
            self.cut_alleles += effect.cut_bp > 0
            self.cut_bp += effect.cut_bp
            if effect.reason is None:
                self.scored += 1
            else:
                self.not_scored[effect.reason] += 1

    def as_dict(self) -> dict[str, Any]:
        """Return the counts as plain data."""
        return {
            "records": self.records,
            "alleles_scored": self.scored,
            "alleles_not_scored": dict(self.not_scored),
            "alleles_cut": self.cut_alleles,
            "cut_bp": self.cut_bp,
            "bad_records": self.bad_records,
            "bad_records_path": None if self.bad_path is None else str(self.bad_path),
            "renamed_contigs": dict(self.renamed),
            "indexed": self.indexed,
        }


def annotate(
    records: Iterable[VcfRecord],
    header: Sequence[str],
    out: Path,
    score: Scorer,
    *,
    source: Path | None = None,
    about: Mapping[str, object] | None = None,
    with_cut: bool = False,
    skip_bad: bool = False,
    on_record: OnRecord | None = None,
) -> Tally:
    """Write ``records`` with their effects to ``out``, in order; return the counts.

    ``out`` ends in .vcf or .vcf.gz, and then all that the records held is kept, or in .tsv or
    .parquet, and then it has a row an ALT. Numbers in a VCF have 9 significant digits, which tell
    any two 32-bit floats apart; those of a table are exact. ``about`` goes into a VCF's header as
    ``##hyena-glt_NAME=VALUE``. ``with_cut`` says of each ALT how many bases were left unread, in a
    field or a column of their own. Records are held no longer than ``score`` holds them.
    ``on_record(variant, effects)`` hears of each record once it is written.

    Raises SequenceFileError, with ``source`` and the line, at a record that isn't of this genome;
    with ``skip_bad`` it is written with a reason instead and listed in ``out`` + ".bad.tsv". Raises
    StorageError if a file can't be written.
    """
    tally = Tally()
    waiting: deque[VcfRecord] = deque()

    def variants() -> Iterator[Variant]:
        for record in records:
            waiting.append(record)
            yield record.variant

    with ExitStack() as files:
        writer = _writer(out, header, about or {}, with_cut)
        files.enter_context(writer)
        bad_writer: TableWriter | None = None
        if skip_bad:
            tally.bad_path = out.with_name(out.name + ".bad.tsv")
            bad_writer = files.enter_context(TableWriter(tally.bad_path, BAD_COLUMNS))

        def on_bad(variant: Variant, reason: str, message: str) -> None:
            # A variant is checked when it is taken, so its record is the newest.
            line = waiting[-1].line
            where = f"variant {line}" if source is None else f"{source}: line {line}"
            if bad_writer is None:
                remedy = (
                    ""
                    if source is None
                    else "; or skip bad records (--skip-bad), which leaves them unscored"
                )
                raise SequenceFileError(f"{where}: {message}{remedy}")
            place = (variant.contig, variant.start + 1, variant.ref, ",".join(variant.alts) or ".")
            bad = BadRecord(line, *place, reason, message)
            bad_writer.write(asdict(bad))
            tally.bad_records += 1
            if len(tally.first_bad) < FIRST_BAD:
                tally.first_bad.append(bad)

        for variant, effects in score(variants(), on_bad):
            _write(writer, waiting.popleft(), effects, with_cut)
            tally.add(effects)
            if on_record is not None:
                on_record(variant, effects)
    if isinstance(writer, VcfWriter) and out.name.endswith(".gz"):
        tally.indexed = writer.indexed
    return tally


def check_out(out: Path, *inputs: Path | None) -> None:
    """Raise StorageError unless ``out`` ends as a file that can be written and is no input."""
    if not out.name.endswith(SUFFIXES):
        raise StorageError(
            f"{out}: found the name {out.name!r}, expected one that ends in {', '.join(SUFFIXES)}; "
            "rename the output"
        )
    check_output(out, *inputs)


def _writer(
    out: Path, header: Sequence[str], about: Mapping[str, object], with_cut: bool
) -> VcfWriter | TableWriter:
    if out.suffix in (".tsv", ".parquet"):
        return TableWriter(out, COLUMNS_WITH_CUT if with_cut else COLUMNS)
    lines = [f"##hyena-glt_{name}={value}" for name, value in about.items()]
    return VcfWriter(out, header, INFO, lines)


def _write(
    writer: VcfWriter | TableWriter, record: VcfRecord, effects: Sequence[Effect], with_cut: bool
) -> None:
    written = [_written(effect, with_cut) for effect in effects]
    if isinstance(writer, VcfWriter):
        # A value of each field for each ALT: nothing where there is no ALT.
        columns = zip(*(map(_text, values) for values in written), strict=True)
        fields = (info.name for info in INFO)
        writer.write(record, dict(zip(fields, map(",".join, columns), strict=False)))
        return
    variant = record.variant
    names = COLUMNS_WITH_CUT if with_cut else COLUMNS
    for alt, values in zip(variant.alts, written, strict=True):
        place = (variant.contig, variant.start + 1, variant.name, variant.ref, alt)
        writer.write(dict(zip(names, (*place, *values), strict=True)))


def _written(effect: Effect, with_cut: bool) -> tuple[float | int | str | None, ...]:
    """What a file says of an effect, in the order of its fields."""
    found = (effect.dll_nats, effect.dll_flank_nats, effect.scored_bp, effect.reason)
    cut_bp = None if effect.scored_bp is None else effect.cut_bp
    return (*found, cut_bp) if with_cut else found


def _text(value: float | int | str | None) -> str:
    if value is None:
        return "."
    return f"{value:.9g}" if isinstance(value, float) else str(value)
