"""Variants as pairs of sequences: a window of the genome, and the same with the allele in it."""

import re
from collections.abc import Iterator
from typing import Literal, cast, get_args

from hyena_glt.config.examples import VariantsSourceConfig
from hyena_glt.errors import SequenceFileError
from hyena_glt.io.examples.cell import class_in, number_in
from hyena_glt.io.examples.example import Example, Label, Schema
from hyena_glt.io.examples.genome import known_contig, open_genome
from hyena_glt.io.vcf import Variant, VcfReader, VcfRecord, is_symbolic

_INFO_COLUMN = 7
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
_SHOWN = 20  # letters of an allele in a message, and names of INFO keys
_Number = Literal["A", "R", "1", "."]

# The bases that a letter may stand for; a gap or a stop is none, and nothing disagrees with it.
_BASES = {
    **{"A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT"},
    **{"K": "GT", "M": "AC", "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT"},
}


class VariantsSource:
    """One example an alternative allele, in the order of the file.

    The sequence is `window_bp` bases of the genome around REF, and `alternative` the same with the
    allele in REF's place: longer or shorter by as much as the allele is. REF stands in the middle,
    or half a base to the left of it where the rest of the window is odd; where the contig ends too
    early the window is shifted to lie inside it. A contig isn't taken for a circle.

    An example is named `contig:position:REF>ALT`, the position from 1 as in VCF, and the alleles
    of one position are one group. `contig` is the genome's name for it.

    A key of `Number=A` or `R` has one value for each allele; that of `Number=1` is of all alleles
    of its record. `Number=.` gives its whole text, of a record with one allele. The name of the
    number with `label=values` is the key.

    Raises SequenceFileError: at once if a file is missing or wrong, or the header doesn't declare
    the key, or as another number or a flag; at the line where it happens, if the genome doesn't
    have the variant's place, or other bases than REF there (letter case, T and U and what IUPAC
    codes leave open aside), if REF or the window is too long, if an ALT is no letters (`.`, `*`,
    symbolic), and if a value is missing or no finite number; at the end if there was no variant.
    """

    schema: Schema
    notes: tuple[str, ...] = ()

    def __init__(self, config: VariantsSourceConfig) -> None:
        self._config = config
        self._genome = open_genome(config.genome)
        self._reader = VcfReader(config.path)
        self._number: _Number | None = None
        if config.info is not None:
            self._number = _declared_number(self._reader, config.info)
        names = (config.info,) if config.label == "values" and config.info is not None else ()
        self.schema = Schema(config.label, names, pairs=True)

    def __iter__(self) -> Iterator[Example]:
        """The examples; raises SequenceFileError at the first that is wrong."""
        found = False
        for record in self._reader:
            found = True
            where = f"{self._reader.path}: line {record.line}"
            try:
                _check_alts(record.variant)
                labels = self._labels(record)
            except ValueError as problem:
                raise SequenceFileError(f"{where}: {problem}") from None
            yield from self._examples(record.variant, labels, where)
        if not found:
            raise SequenceFileError(
                f"{self._reader.path}: found no variant in it; give a VCF file with records"
            )

    def _examples(self, variant: Variant, labels: list[Label], where: str) -> Iterator[Example]:
        contig = known_contig(self._genome, variant.contig, where)
        try:
            start = self._window_start(contig, variant)
            window = self._genome.fetch(contig, start, start + self._config.window_bp)
            at = variant.start - start
            self._check_ref(contig, variant, window[at : at + len(variant.ref)])
        except SequenceFileError:
            raise
        except ValueError as problem:
            raise SequenceFileError(f"{where}: {problem}") from None
        left, right = window[:at], window[at + len(variant.ref) :]
        site = f"{contig}:{variant.start + 1}"
        for alt, label in zip(variant.alts, labels, strict=True):
            yield Example(
                name=f"{site}:{variant.ref}>{alt}",
                sequence=window.encode("ascii"),
                label=label,
                where=where,
                part=self._config.part,
                group=site,
                contig=contig,
                alternative=f"{left}{alt}{right}".encode("ascii"),
            )

    def _window_start(self, contig: str, variant: Variant) -> int:
        """Where the window begins; ValueError with the problem if it can't be had."""
        window_bp, ref_bp = self._config.window_bp, len(variant.ref)
        length_bp = self._genome.length_bp(contig)
        if variant.start < 0 or variant.end > length_bp:
            raise ValueError(
                f"found REF at {variant.start + 1} to {variant.end}, expected it inside 1 to "
                f"{length_bp} of {contig} in {self._genome.path}; check the assembly"
            )
        if ref_bp > window_bp:
            raise ValueError(
                f"found a REF of {ref_bp} bp, expected at most window_bp={window_bp}; widen the "
                "window, or remove the line"
            )
        if window_bp > length_bp:
            raise ValueError(
                f"found {contig} of {length_bp} bp in {self._genome.path}, expected at least "
                f"window_bp={window_bp}; narrow the window, or remove the line"
            )
        start = variant.start - (window_bp - ref_bp) // 2
        return min(max(start, 0), length_bp - window_bp)

    def _check_ref(self, contig: str, variant: Variant, there: str) -> None:
        """Raise ValueError with the problem where the genome has other bases than REF."""
        if not all(map(_may_be_one, _plain(there), _plain(variant.ref))):
            raise ValueError(
                f"found the REF {_shortened(variant.ref)}, expected {_shortened(there)}, which "
                f"{self._genome.path} has at {contig}:{variant.start + 1}; check the assembly"
            )

    def _labels(self, record: VcfRecord) -> list[Label]:
        """The label of each ALT; ValueError with the problem if there isn't one."""
        alts, key = len(record.variant.alts), self._config.info
        if key is None:
            return [None] * alts
        text = _info(record.text, key)
        values = [text] * alts
        if self._number in ("A", "R"):
            values = text.split(",")
            expected = alts + (self._number == "R")
            if len(values) != expected:
                raise ValueError(
                    f"found {len(values)} values of {key}, expected {expected}, as Number="
                    f"{self._number} says for {alts} ALT; correct the line"
                )
            values = values[-alts:]
        elif self._number == "1" and "," in text:
            raise ValueError(
                f"found {key}={text[:40]!r}, expected one value, as Number=1 says; correct it"
            )
        elif self._number == "." and alts > 1:
            raise ValueError(
                f"found {key} with Number=. and {alts} ALT, so that it isn't told which value is "
                "whose; run: bcftools norm -m-any"
            )
        read = number_in if self._config.label == "values" else class_in
        try:
            return [read(value) for value in values]
        except ValueError as problem:
            raise ValueError(f"{key}: {problem}; correct or remove the line") from None


def _declared_number(reader: VcfReader, key: str) -> _Number:
    """How many values the header gives a key; SequenceFileError if none, or not one an allele."""
    keys = []
    for line in reader.header:
        if not line.startswith("##INFO=<"):
            continue
        # A description may hold anything.
        fields = _QUOTED.sub("", line.removeprefix("##INFO=<")).rstrip(">\r").split(",")
        pairs = dict(field.split("=", 1) for field in fields if "=" in field)
        keys.append(pairs.get("ID", ""))
        if keys[-1] != key:
            continue
        number = pairs.get("Number", "")
        if number in get_args(_Number):
            return cast(_Number, number)
        raise SequenceFileError(
            f"{reader.path}: found INFO {key} with Number={number}, expected A, R, 1 or '.', a "
            "value for each allele or for each record; choose another key"
        )
    there = ", ".join(map(repr, keys[:_SHOWN])) or "none"
    raise SequenceFileError(
        f"{reader.path}: found no INFO {key!r} in the header, expected one of those that there "
        f"are: {there}; correct info, or add the line ##INFO=<ID={key},Number=...> to the header"
    )


def _info(text: str, key: str) -> str:
    """A key's value on a line; ValueError with the problem unless it is there once."""
    entries = text.split("\t", _INFO_COLUMN + 1)[_INFO_COLUMN].rstrip("\r").split(";")
    values = [entry.partition("=")[2] for entry in entries if entry.partition("=")[0] == key]
    if len(values) != 1:
        raise ValueError(
            f"found {len(values)} times {key} in INFO, expected it once; correct or remove the line"
        )
    return values[0]


def _check_alts(variant: Variant) -> None:
    """Raise ValueError with the problem unless there are ALTs, all of letters."""
    if not variant.alts:
        raise ValueError("found no ALT ('.'), expected letters; run: bcftools view -e 'ALT=\".\"'")
    for alt in variant.alts:
        if alt in ("*", ".") or is_symbolic(alt):
            raise ValueError(
                f"found the ALT {_shortened(alt)}, expected letters, which an example needs; "
                "remove the line or the allele"
            )


def _may_be_one(one: str, other: str) -> bool:
    """Whether two letters can stand for the same base."""
    return one == other or bool(set(_BASES.get(one, "ACGT")) & set(_BASES.get(other, "ACGT")))


def _plain(letters: str) -> str:
    return letters.upper().replace("U", "T")


def _shortened(letters: str) -> str:
    shown = letters if len(letters) <= _SHOWN else f"{letters[:_SHOWN]}..."
    return f"{shown!r}"
