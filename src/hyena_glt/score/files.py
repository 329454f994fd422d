"""Variants of a file or of Python, scored against a genome: effects as a file or as values."""

from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path

from hyena_glt.errors import SequenceFileError
from hyena_glt.io import Reference, Variant, VcfReader
from hyena_glt.model import HyenaGLT
from hyena_glt.score.annotation import OnRecord, Tally, annotate, check_out
from hyena_glt.score.likelihood import read_both_strands
from hyena_glt.score.records import checked, vcf_header, vcf_records
from hyena_glt.score.sites import OnBad
from hyena_glt.score.variants import WINDOW_BP, Effect, score_variants


def write_effects(
    network: HyenaGLT,
    reference: Reference,
    variants: str | Path | Iterable[Variant],
    out: Path,
    *,
    window_bp: int = WINDOW_BP,
    stride_bp: int | None = None,
    tail_tolerance_nats: float = 0.0,
    both_strands: bool | None = None,
    skip_bad: bool = False,
    about: Mapping[str, object] | None = None,
    on_record: OnRecord | None = None,
) -> Tally:
    """Score a VCF file, or variants made in Python, into ``out``; return the counts.

    Variants of Python become a VCF of their own, or rows. Windows, strands and tolerance are as
    ``score_variants`` says; the rest, and what is raised, as ``annotate`` does. Raises StorageError
    too where ``out`` has no known ending or is an input.
    """
    path = Path(variants) if isinstance(variants, str | Path) else None
    check_out(out, reference.path, path)
    strands = "both" if read_both_strands(network, both_strands) else "one"
    savings = {"stride_bp": stride_bp, "tail_tolerance_nats": tail_tolerance_nats}

    def score(
        taken: Iterable[Variant], on_bad: OnBad
    ) -> Iterator[tuple[Variant, tuple[Effect, ...]]]:
        return score_variants(
            network,
            reference,
            taken,
            window_bp=window_bp,
            stride_bp=stride_bp,
            tail_tolerance_nats=tail_tolerance_nats,
            both_strands=both_strands,
            on_bad=on_bad,
        )

    if isinstance(variants, str | Path):
        reader = VcfReader(variants)
        header, records = reader.header, iter(reader)
    else:
        is_table = out.suffix in (".tsv", ".parquet")
        header, records = () if is_table else vcf_header(reference), vcf_records(variants)
    tally = annotate(
        records,
        header,
        out,
        score,
        source=path,
        about={
            "version": version("hyena-glt"),
            "genome": reference.path,
            "window_bp": window_bp,
            **{name: value for name, value in savings.items() if value},
            "strands": strands,
            "precision": network.precision,
            **(about or {}),
        },
        with_cut=tail_tolerance_nats > 0,
        skip_bad=skip_bad,
        on_record=on_record,
    )
    tally.renamed = dict(reference.renamed)
    return tally


def effects_of(
    network: HyenaGLT,
    reference: Reference,
    variants: str | Path | Iterable[Variant],
    *,
    window_bp: int = WINDOW_BP,
    stride_bp: int | None = None,
    tail_tolerance_nats: float = 0.0,
    both_strands: bool | None = None,
    skip_bad: bool = False,
) -> Iterator[tuple[Variant, tuple[Effect, ...]]]:
    """Yield what ``write_effects`` would write, in order.

    Raises SequenceFileError, with the file and the line of a VCF, at a record that isn't of this
    genome; with ``skip_bad`` its effects have a reason instead.
    """
    line: int | None = None

    def read(path: str | Path) -> Iterator[Variant]:
        nonlocal line
        for record in VcfReader(path):
            line = record.line
            yield record.variant

    def on_bad(variant: Variant, reason: str, message: str) -> None:
        if not skip_bad:
            raise SequenceFileError(
                message if line is None else f"{variants}: line {line}: {message}"
            )

    yield from score_variants(
        network,
        reference,
        read(variants) if isinstance(variants, str | Path) else checked(variants),
        window_bp=window_bp,
        stride_bp=stride_bp,
        tail_tolerance_nats=tail_tolerance_nats,
        both_strands=both_strands,
        on_bad=on_bad,
    )
