"""Where variants stand in a genome: their windows, their alleles, and why one can't be scored.

A site is the records in a row that share contig, position and REF, so that three records of one
ALT each cost what one record of three ALTs does.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from hyena_glt.errors import SequenceFileError
from hyena_glt.io import Reference, Variant, is_symbolic

NOT_SCORED = {  # why an allele has no score
    "spanning_deletion": "ALT is *",
    "symbolic": "ALT is symbolic or a breakend",
    "same_as_reference": "ALT is REF",
    "ambiguous_base": "a base of the window or the allele is not A C G T",
    "longer_than_window": "REF is longer than the window",
    "length_change": "an indel under a bidirectional model",
}
BAD_RECORD = {  # why a record is wrong
    "reference_mismatch": "the genome has other bases than REF",
    "unknown_contig": "the genome has no such contig",
    "beyond_contig": "the position or REF runs past the contig",
}

OnBad = Callable[[Variant, str, str], None]

_MOST_ALLELES = 64  # of one site; more are read as another site, so that memory has a bound
_SHOWN = 20  # letters of an allele in a message
_IUPAC = {
    **{"A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT"},
    **{"K": "GT", "M": "AC", "B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT"},
}


@dataclass(frozen=True, slots=True)
class Window:
    """The bases around a REF, which both windows share, upper case and T for U."""

    left: str
    ref: str
    right: str

    def with_allele(self, allele: str) -> str:
        """Return the window with ``allele`` in REF's place."""
        return self.left + allele + self.right

    @property
    def is_definite(self) -> bool:
        """Whether it holds A C G T alone."""
        return _is_definite(self.with_allele(self.ref))


@dataclass(slots=True)
class Site:
    """Records at one place with one REF, and what is to be read for them."""

    key: tuple[str, int, str]
    window: Window
    alleles: dict[str, None] = field(default_factory=dict)  # distinct ALTs to score, in order
    # each record, and for each of its ALTs why it isn't scored, None where it is
    variants: list[tuple[Variant, list[str | None]]] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many windows are to be read."""
        return 1 + len(self.alleles) if self.alleles else 0

    @property
    def longest_bp(self) -> int:
        """Positions of the longest row, in whichever direction it is read; 0 without rows."""
        if not self.alleles:
            return 0
        allele = max(map(len, (self.window.ref, *self.alleles)))
        return max(len(self.window.left), len(self.window.right)) + allele + 1


def trimmed(ref: str, alt: str) -> tuple[int, int]:
    """Return (bases alike at the left, bases alike at the right), the right end taken first.

    A to ATT inserts TT after the A; CA to CT is the SNV A to T:

    >>> trimmed("A", "ATT"), trimmed("CA", "CT"), trimmed("CAA", "CA")
    ((1, 0), (1, 0), (1, 1))
    """
    most = min(len(ref), len(alt))
    right = next((i for i in range(most) if ref[-1 - i] != alt[-1 - i]), most)
    most -= right
    left = next((i for i in range(most) if ref[i] != alt[i]), most)
    return left, right


def group_sites(
    reference: Reference,
    variants: Iterable[Variant],
    window_bp: int,
    on_bad: OnBad | None,
    stride_bp: int | None = None,
) -> Iterator[Site]:
    """Yield the sites of ``variants`` in order; every variant is checked when it is taken.

    A window is centred on REF; with ``stride_bp`` both its ends are moved outwards, to multiples of
    it, where that isn't more than one turn of a circular contig.

    Raises SequenceFileError at a wrong record, unless ``on_bad`` hears of it.
    """
    site: Site | None = None
    problem: tuple[str, str] | None = None
    for variant in variants:
        key = (variant.contig, variant.start, variant.ref)
        full = site is not None and max(len(site.alleles), len(site.variants)) >= _MOST_ALLELES
        if site is None or site.key != key or full:
            if site is not None:
                yield site
            window, problem = _look_up(reference, variant, window_bp, stride_bp)
            site = Site(key, window)
        if problem is None:
            _add(site, variant, window_bp)
            continue
        reason, found = problem
        message = f"{describe(variant)}: {found}"
        if on_bad is None:
            raise SequenceFileError(message)
        on_bad(variant, reason, message)
        site.variants.append((variant, [reason] * len(variant.alts)))
    if site is not None:
        yield site


def describe(variant: Variant) -> str:
    """Return ``contig:position REF>ALT``, counted from 1 as in a VCF file."""
    alts = ",".join(map(_shortened, variant.alts)) or "."
    return f"{variant.contig}:{variant.start + 1} {_shortened(variant.ref)}>{alts}"


def _add(site: Site, variant: Variant, window_bp: int) -> None:
    definite = site.window.is_definite
    reasons = [_reason(site.window.ref, alt, definite, window_bp) for alt in variant.alts]
    scored = zip(variant.alts, reasons, strict=True)
    site.alleles.update({plain(alt): None for alt, reason in scored if reason is None})
    site.variants.append((variant, reasons))


def _reason(ref: str, alt: str, definite: bool, window_bp: int) -> str | None:
    if alt == "*":
        return "spanning_deletion"
    if alt == "." or is_symbolic(alt):
        return "symbolic"
    if plain(alt) == ref:
        return "same_as_reference"
    if len(ref) > window_bp:
        return "longer_than_window"
    return None if definite and _is_definite(plain(alt)) else "ambiguous_base"


def _look_up(
    reference: Reference, variant: Variant, window_bp: int, stride_bp: int | None
) -> tuple[Window, tuple[str, str] | None]:
    """Return the window of a record, and (reason, what was found) where the record is wrong."""
    start, ref = variant.start, plain(variant.ref)
    nothing = Window("", ref, "")
    try:
        contig = reference.resolve(variant.contig)
    except SequenceFileError as error:
        return nothing, ("unknown_contig", str(error))
    length_bp = reference.length_bp(contig)
    last = 2 * length_bp if reference.is_circular(contig) else length_bp
    if not 0 <= start < length_bp or len(ref) > length_bp or variant.end > last:
        found = (
            f"found REF at {start + 1} to {variant.end}, expected it inside 1 to {length_bp} "
            f"of {contig} in {reference.path}; the file belongs to another assembly"
        )
        return nothing, ("beyond_contig", found)
    flank_bp = max(0, window_bp - len(ref)) // 2
    left, right = start - flank_bp, start + len(ref) + flank_bp
    if stride_bp is not None:
        wide_left, wide_right = left // stride_bp * stride_bp, -(-right // stride_bp) * stride_bp
        if not reference.is_circular(contig) or wide_right - wide_left <= length_bp:
            left, right = wide_left, wide_right
    first, letters = reference.window(contig, left, right)
    window, at = plain(letters), start - first
    there = window[at : at + len(ref)]
    if there != ref and not _compatible(there, ref):
        found = (
            f"found REF {_shortened(variant.ref)}, expected {_shortened(there)}, which "
            f"{reference.path} has at {contig}:{start + 1}; the file belongs to another assembly"
        )
        return nothing, ("reference_mismatch", found)
    # Where one of the two leaves a base open, so does the window.
    open_ref = ref if _is_definite(there) else there
    return Window(window[:at], open_ref, window[at + len(ref) :]), None


def plain(letters: str) -> str:
    """Return letters in upper case with T for U: what a nucleotide model sees of them."""
    return letters.upper().replace("U", "T")


def _compatible(genome: str, ref: str) -> bool:
    """Whether IUPAC codes allow both to be the same bases."""
    return all(
        # A gap or a stop in the genome is no base: nothing disagrees with it.
        set(_IUPAC.get(one, "ACGT")) & set(_IUPAC.get(other, ""))
        for one, other in zip(genome, ref, strict=True)
    )


def _is_definite(letters: str) -> bool:
    return not letters.strip("ACGT")


def _shortened(letters: str) -> str:
    return letters if len(letters) <= _SHOWN else f"{letters[:_SHOWN]}... ({len(letters)} bp)"
