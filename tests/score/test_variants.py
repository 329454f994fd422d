"""Effects of variants: a shared flank equals two whole windows, and no allele is passed over."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from properties.tiny import Case, build
from properties.tolerances import LOGLIK_FP32_RELATIVE, OUTPUT_FP64

from hyena_glt.errors import DirectionError, SequenceError, SequenceFileError
from hyena_glt.io import Reference, Variant
from hyena_glt.model import HyenaGLT
from hyena_glt.score import (
    Effect,
    passages,
    score_sequences,
    score_variants,
    score_variants_reference,
)
from hyena_glt.score.branches import Branches
from hyena_glt.score.sites import group_sites, trimmed
from hyena_glt.tokenize import BOS, MASK, alphabet, decode, encode

CASES = [
    Case("SM", "fixed", 2, "LA", "A", "hashed"),
    Case("L", "letters", 1, "SMLA", "M", "exact"),
    Case("A", "none", 1, "M", "S", "plain"),
]
EXACT = {case: build(case) for case in CASES}
SINGLE = {case: build(case, dtype=torch.float32) for case in CASES}
NETWORK = EXACT[CASES[0]]
BIDIRECTIONAL = build(CASES[0], direction="bidirectional")
CONTIGS = {
    "line": "ACGTTGCAACCGATTGACGTAGGCTAACGTTTTACGATCAG",
    "circle": "GATTACAGGCATTCGCAT",
    "gap": "ACGTNNACRTACGGT",
    "rna": "acguugcaaccg",
}

ALL_BUT_10 = "ACGTTGCAACAGATTGACGTAGGCTAACGTTTTACGATCAG"  # the line with an A there

networks = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(scope="session")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    path = tmp_path_factory.mktemp("variants") / "genome.fa"
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in CONTIGS.items()))
    with Reference(path, circular=["circle"]) as opened:
        yield opened


def reverse_complement(sequence: str) -> str:
    return decode(alphabet("dna").reverse_complement(encode(sequence)))


def effects(
    network: HyenaGLT, reference: Reference, *asked: Variant, **how: object
) -> list[Effect]:
    scored = score_variants(network, reference, asked, **how)  # type: ignore[arg-type]
    return [effect for _, found in scored for effect in found]


@st.composite
def drawn_records(draw: st.DrawFn) -> list[tuple[str, int, str, tuple[str, ...]]]:
    """Records of the line and the circle, whose REF is the genome's, with up to three ALTs each."""
    alleles = st.text("ACGT", min_size=1, max_size=6)
    found = []
    for _ in range(draw(st.integers(1, 5))):
        contig = draw(st.sampled_from(["line", "circle"]))
        letters = CONTIGS[contig]
        start = draw(st.integers(0, len(letters) - 1))
        turn = letters + letters if contig == "circle" else letters
        ref = turn[start : start + draw(st.integers(1, 5))]
        found.append((contig, start, ref, tuple(draw(st.lists(alleles, max_size=3)))))
    return found


@pytest.mark.slow
@networks
@settings(max_examples=8)
@given(
    records=drawn_records(),
    window_bp=st.integers(1, 60),
    stride_bp=st.sampled_from([None, 1, 4, 25, 1000]),
    both=st.booleans(),
    batch_bp=st.sampled_from([30, 100, 10_000]),
)
def test_a_shared_flank_gives_the_numbers_of_two_whole_windows(
    reference: Reference,
    case: Case,
    records: list[tuple[str, int, str, tuple[str, ...]]],
    window_bp: int,
    stride_bp: int | None,
    both: bool,
    batch_bp: int,
) -> None:
    asked = [Variant(*record) for record in records]

    def fast(network: HyenaGLT) -> list[tuple[Variant, tuple[Effect, ...]]]:
        return list(
            score_variants(
                network,
                reference,
                asked,
                window_bp=window_bp,
                stride_bp=stride_bp,
                both_strands=both,
                batch_bp=batch_bp,
            )
        )

    def plain(network: HyenaGLT) -> list[tuple[Variant, tuple[Effect, ...]]]:
        return list(
            score_variants_reference(
                network,
                reference,
                asked,
                window_bp=window_bp,
                stride_bp=stride_bp,
                both_strands=both,
            )
        )

    sites = group_sites(reference, asked, window_bp, None, stride_bp)
    windows = {site.key: site.window for site in sites}
    for network, tolerance in ((EXACT[case], None), (SINGLE[case], LOGLIK_FP32_RELATIVE)):
        found, wanted = fast(network), plain(network)
        assert [variant for variant, _ in found] == asked
        for (variant, mine), (_, theirs) in zip(found, wanted, strict=True):
            for effect, other in zip(mine, theirs, strict=True):
                assert effect[2:] == other[2:]
                if other.dll_nats is None:
                    continue
                bound = OUTPUT_FP64
                if tolerance is not None:
                    window = windows[variant.contig, variant.start, variant.ref]
                    (score,) = score_sequences(SINGLE[case], [window.with_allele(window.ref)], both)
                    bound = tolerance * max(1.0, -score.loglik_nats)
                assert effect.dll_nats == pytest.approx(other.dll_nats, abs=bound)
                assert effect.dll_flank_nats == pytest.approx(other.dll_flank_nats, abs=bound)


@pytest.mark.parametrize(
    ("variant", "window_bp", "ref_window", "alt_window"),
    [
        # 5 flanking bases: 2 on either side of REF
        (Variant("line", 4, "T", ("G",)), 6, "GTTGC", "GTGGC"),
        (Variant("line", 4, "T", ("TAA",)), 6, "GTTGC", "GTTAAGC"),
        (Variant("line", 4, "TGC", ("T",)), 6, "TTGCA", "TTA"),
        (Variant("line", 1, "C", ("A",)), 8, "ACGTT", "AAGTT"),  # cut at the start
        (Variant("line", 40, "G", ("A",)), 5, "CAG", "CAA"),  # and at the end
        (Variant("circle", 0, "G", ("C",)), 6, "ATGAT", "ATCAT"),
        (Variant("circle", 17, "TG", ("A",)), 6, "CATGAT", "CAAAT"),  # REF runs over the end
        (Variant("circle", 2, "T", ("A",)), 99, "TTCGCATGATTACAGGCA", "TTCGCATGAATACAGGCA"),
        (Variant("rna", 3, "U", ("g",)), 3, "GUU", "GGU"),
        (Variant("line", 4, "t", ("g",)), 6, "GTTGC", "GTGGC"),
    ],
)
def test_a_window_is_cut_as_said(
    reference: Reference, variant: Variant, window_bp: int, ref_window: str, alt_window: str
) -> None:
    (effect,) = effects(NETWORK, reference, variant, window_bp=window_bp)
    old, new = score_sequences(NETWORK, [ref_window, alt_window])
    assert effect.dll_nats == pytest.approx(new.loglik_nats - old.loglik_nats, abs=OUTPUT_FP64)
    assert effect.scored_bp == len(alt_window)


@pytest.mark.parametrize(
    ("variant", "stride_bp", "ref_window", "alt_window"),
    [
        # centred on position 10: 8 to 13
        (Variant("line", 10, "C", ("A",)), 1, "ACCGA", "ACAGA"),
        (Variant("line", 10, "C", ("A",)), 4, "ACCGATTG", "ACAGATTG"),  # 8 to 16
        (Variant("line", 11, "G", ("A",)), 4, "ACCGATTG", "ACCAATTG"),  # of 9 to 14
        (Variant("line", 1, "C", ("A",)), 3, "ACGTTG", "AAGTTG"),  # cut at the start
        (Variant("line", 39, "A", ("C",)), 9, "ATCAG", "ATCCG"),  # and at the end
        (Variant("line", 10, "C", ("A",)), 999, CONTIGS["line"], ALL_BUT_10),
        (Variant("circle", 0, "G", ("C",)), 4, "GCATGATT", "GCATCATT"),  # -4 to 4
        (Variant("circle", 0, "G", ("C",)), 99, "ATGAT", "ATCAT"),  # more than a turn: centred
    ],
)
def test_a_stride_moves_the_ends_of_windows_outwards(
    reference: Reference, variant: Variant, stride_bp: int, ref_window: str, alt_window: str
) -> None:
    (effect,) = effects(NETWORK, reference, variant, window_bp=5, stride_bp=stride_bp)
    old, new = score_sequences(NETWORK, [ref_window, alt_window])
    assert effect.dll_nats == pytest.approx(new.loglik_nats - old.loglik_nats, abs=OUTPUT_FP64)
    assert effect.scored_bp == len(alt_window)


@pytest.mark.parametrize(
    ("ref", "alt", "ends"),
    [
        ("A", "ATT", (1, 0)),
        ("CA", "CT", (1, 0)),
        ("CAA", "CA", (1, 1)),
        ("A", "T", (0, 0)),
        ("ACG", "TCG", (0, 2)),
        ("AAA", "AA", (0, 2)),  # the right end first
        ("TA", "A", (0, 1)),
        ("ACGT", "AGGT", (1, 2)),
    ],
)
def test_alleles_are_trimmed_at_the_right_and_then_at_the_left(
    ref: str, alt: str, ends: tuple[int, int]
) -> None:
    assert trimmed(ref, alt) == ends


def test_the_flank_leaves_out_what_only_one_window_has(reference: Reference) -> None:
    # ACGTT GCAAC: TGC to T takes GC away; the windows share GTT and AA.
    (effect,) = effects(NETWORK, reference, Variant("line", 4, "TGC", ("T",)), window_bp=7)
    prefix, ref_whole, alt_whole, ref_allele = score_sequences(
        NETWORK, ["GTT", "GTTGCAA", "GTTAA", "GTTGC"]
    )
    ref_shared = ref_whole.loglik_nats - (ref_allele.loglik_nats - prefix.loglik_nats)
    expected = alt_whole.loglik_nats - ref_shared
    assert effect.dll_flank_nats == pytest.approx(expected, abs=OUTPUT_FP64)


@pytest.mark.parametrize(
    ("variant", "reason"),
    [
        (Variant("line", 4, "T", ("*",)), "spanning_deletion"),
        (Variant("line", 4, "T", ("<DEL>",)), "symbolic"),
        (Variant("line", 4, "T", ("<NON_REF>",)), "symbolic"),
        (Variant("line", 4, "T", ("T[line:9[",)), "symbolic"),
        (Variant("line", 4, "T", (".T",)), "symbolic"),
        (Variant("line", 4, "T", ("t",)), "same_as_reference"),
        (Variant("line", 4, "T", ("N",)), "ambiguous_base"),
        (Variant("line", 4, "T", ("AR",)), "ambiguous_base"),
        (Variant("line", 4, "N", ("A",)), "ambiguous_base"),
        (Variant("gap", 3, "T", ("A",)), "ambiguous_base"),  # N in the right flank
        (Variant("gap", 9, "T", ("A",)), "ambiguous_base"),  # R in the left flank
        (Variant("gap", 4, "A", ("C",)), "ambiguous_base"),  # the genome's N may be an A
        (Variant("gap", 8, "G", ("C",)), "ambiguous_base"),  # and its R a G
        (Variant("line", 4, "TGCAACC", ("T",)), "longer_than_window"),
    ],
)
def test_what_is_not_scored_says_why(reference: Reference, variant: Variant, reason: str) -> None:
    before, found, after = effects(
        NETWORK,
        reference,
        Variant("line", 30, "T", ("A",)),
        variant,
        Variant("line", 31, "T", ("A",)),
        window_bp=6,
    )
    assert found == Effect(None, None, None, reason)
    assert before.reason is after.reason is None


def test_an_open_base_out_of_the_window_does_no_harm(reference: Reference) -> None:
    (effect,) = effects(NETWORK, reference, Variant("gap", 1, "C", ("A",)), window_bp=5)
    assert effect.reason is None


BAD = [
    (Variant("line", 4, "G", ("A",)), "reference_mismatch", r"line:5 G>A: found REF G, expected T"),
    (Variant("gap", 8, "C", ("A",)), "reference_mismatch", "found REF C, expected R"),
    (Variant("line", 39, "AGA", ("A",)), "beyond_contig", "found REF at 40 to 42.*1 to 41 of line"),
    (Variant("line", 41, "A", ("C",)), "beyond_contig", "at 42 to 42"),
    (Variant("line", -1, "N", ("A",)), "beyond_contig", "line:0 N>A.*found REF at 0 to 0"),
    (Variant("circle", 18, "G", ("A",)), "beyond_contig", "1 to 18 of circle"),
    (Variant("circle", 0, "GATTACAGGCATTCGCATG", ("A",)), "beyond_contig", "at 1 to 19"),
    (Variant("lime", 4, "T", ("A", "C")), "unknown_contig", r"lime:5 T>A,C: .*did you mean 'line'"),
]


@pytest.mark.parametrize(("variant", "reason", "message"), BAD)
def test_a_record_of_another_genome_is_an_error_with_its_place(
    reference: Reference, variant: Variant, reason: str, message: str
) -> None:
    with pytest.raises(SequenceFileError, match=message):
        effects(NETWORK, reference, variant)


def test_bad_records_can_be_heard_of_instead(reference: Reference) -> None:
    heard: list[tuple[Variant, str, str]] = []
    good = Variant("line", 4, "T", ("A",))
    asked = [good, *(variant for variant, _, _ in BAD), good]
    found = list(score_variants(NETWORK, reference, asked, on_bad=lambda *bad: heard.append(bad)))
    assert [variant for variant, _ in found] == asked
    assert [bad[:2] for bad in heard] == [(variant, reason) for variant, reason, _ in BAD]
    for (_, effects_found), (variant, reason, _) in zip(found[1:-1], BAD, strict=True):
        assert effects_found == (Effect(None, None, None, reason),) * len(variant.alts)
    assert found[0][1][0].dll_nats == pytest.approx(found[-1][1][0].dll_nats, abs=OUTPUT_FP64)


def test_a_bad_record_repeated_is_heard_of_each_time(reference: Reference) -> None:
    heard: list[str] = []
    bad = Variant("line", 4, "G", ("A",))
    list(score_variants(NETWORK, reference, [bad] * 3, on_bad=lambda *b: heard.append(b[1])))
    assert heard == ["reference_mismatch"] * 3


def test_a_record_without_alternatives_has_no_effects(reference: Reference) -> None:
    variant = Variant("line", 4, "T", ())
    assert list(score_variants(NETWORK, reference, [variant])) == [(variant, ())]
    assert list(score_variants(NETWORK, reference, [])) == []


def test_records_of_one_site_share_its_reading(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []

    class Counted(Branches):
        def __init__(self, network: HyenaGLT, ids: Sequence[Any], *rest: Any) -> None:
            rows.append(len(ids))
            super().__init__(network, ids, *rest)

    together = effects(NETWORK, reference, Variant("line", 4, "T", ("A", "C", "G")))
    monkeypatch.setattr(passages, "Branches", Counted)
    apart = effects(
        NETWORK, reference, *(Variant("line", 4, "T", (alt, "*")) for alt in ("A", "c", "G", "C"))
    )
    assert rows == [1, 3]  # REF; A, C and G
    assert [effect for effect in apart if effect.reason is None] == [*together, together[1]]


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True])
def test_numbers_do_not_depend_on_the_batch(reference: Reference, both: bool) -> None:
    network = SINGLE[CASES[1]]
    asked = [
        Variant("line", start, CONTIGS["line"][start], ("A", "CT", "G", "T"))
        for start in range(0, 40, 6)
    ]
    whole, *others = (
        effects(network, reference, *asked, window_bp=30, both_strands=both, batch_bp=batch_bp)
        for batch_bp in (100_000, 40, 500)
    )
    for other in others:
        for one, two in zip(whole, other, strict=True):
            assert one[2:] == two[2:]
            if one.dll_nats is not None:
                assert one.dll_nats == pytest.approx(two.dll_nats, abs=30 * 1.4e-6)


def test_variants_are_read_no_further_than_a_batch(reference: Reference) -> None:
    taken = 0

    def stream() -> Iterator[Variant]:
        nonlocal taken
        for taken in range(1, 1000):
            yield Variant("line", taken % 40, CONTIGS["line"][taken % 40], ("N",))
            yield Variant("line", taken % 40, CONTIGS["line"][taken % 40], ("AA",))

    next(score_variants(NETWORK, reference, stream(), window_bp=20, batch_bp=100))
    assert taken < 20


@pytest.mark.slow
@networks
def test_either_strand_of_a_genome_gives_the_same_over_both(case: Case, tmp_path: Path) -> None:
    repeat = len(CONTIGS["line"])
    letters = CONTIGS["line"] + "AAAAAA" + CONTIGS["line"][:9]
    (tmp_path / "two.fa").write_text(f">given\n{letters}\n>turned\n{reverse_complement(letters)}\n")
    asked = [(4, "T", "G"), (10, "CGA", "C"), (20, "A", "ATTT"), (0, "A", "C"), (12, "AT", "GG")]
    asked += [(repeat, "AAA", "AA"), (repeat + 1, "A", "AAA"), (repeat - 1, "GAA", "GA")]
    with Reference(tmp_path / "two.fa") as genome:
        for start, ref, alt in asked:
            place = len(letters) - start - len(ref)
            turned = Variant("turned", place, reverse_complement(ref), (reverse_complement(alt),))
            given = Variant("given", start, ref, (alt,))
            for window_bp in (12, 200):
                one, two = effects(
                    EXACT[case], genome, given, turned, window_bp=window_bp, both_strands=True
                )
                assert one.dll_nats == pytest.approx(two.dll_nats, abs=OUTPUT_FP64)
                assert one.dll_flank_nats == pytest.approx(two.dll_flank_nats, abs=OUTPUT_FP64)
                assert one.scored_bp == two.scored_bp


@pytest.mark.slow
def test_strands_are_averaged_where_the_recipe_says_so(reference: Reference) -> None:
    averaging = build(CASES[0], rc="average")
    variant = Variant("line", 9, "C", ("T",))
    assert effects(averaging, reference, variant) == effects(
        NETWORK, reference, variant, both_strands=True
    )
    assert effects(averaging, reference, variant, both_strands=False) == effects(
        NETWORK, reference, variant
    )


def test_a_model_that_knows_nothing_finds_every_substitution_alike(reference: Reference) -> None:
    uniform = build(CASES[0], live=False)
    snv, insertion = effects(uniform, reference, Variant("line", 9, "C", ("T", "CAA")))
    assert (snv.dll_nats, snv.dll_flank_nats) == (0, 0)
    assert insertion.dll_nats == pytest.approx(-2 * np.log(4))
    assert insertion.dll_flank_nats == pytest.approx(0, abs=1e-12)


@pytest.mark.slow
def test_rna_reads_t_as_u(reference: Reference) -> None:
    network = build(CASES[0], modality="rna")
    one, two = (
        effects(network, reference, Variant("rna", 3, "T", ("A",)), both_strands=True),
        (effects(network, reference, Variant("rna", 3, "u", ("a",)), both_strands=True)),
    )
    assert one == two
    assert one[0].reason is None


def test_what_cannot_be_scored_so_is_refused_at_once(reference: Reference) -> None:
    network = build(Case("S", "fixed", 1, "L", "", "plain"), modality="protein")
    with pytest.raises(SequenceError, match="protein"):
        score_variants(network, reference, [])
    with pytest.raises(ValueError, match="window_bp=0"):
        score_variants(NETWORK, reference, [], window_bp=0)
    with pytest.raises(ValueError, match="stride_bp=0"):
        score_variants(NETWORK, reference, [], stride_bp=0)
    for tolerance in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="tail_tolerance_nats"):
            score_variants(NETWORK, reference, [], tail_tolerance_nats=tolerance)
    for setting in ({"stride_bp": 8}, {"tail_tolerance_nats": 0.1}):
        with pytest.raises(DirectionError, match="shares nothing"):
            score_variants(BIDIRECTIONAL, reference, [], **setting)


@torch.no_grad()
def masked_nats(network: HyenaGLT, window: str, start: int, end: int) -> np.ndarray:
    """ln p of A C G T at each base of [start, end) with these masked."""
    ids = torch.tensor([[BOS, *encode(window).tolist()]])
    ids[0, start + 1 : end + 1] = MASK
    logits = network(ids, two_sided=True).logits
    return np.asarray(logits[0, start + 1 : end + 1].double().log_softmax(-1))


@pytest.mark.parametrize("both", [False, True])
def test_a_bidirectional_model_compares_the_masked_bases(reference: Reference, both: bool) -> None:
    snv = Variant("line", 4, "T", ("G", "A"))
    mnv = Variant("line", 4, "TGC", ("TCA", "TGCA", "*"))
    found = effects(BIDIRECTIONAL, reference, snv, mnv, window_bp=9, both_strands=both)
    cases = [("ACGTTGCAA", 4, "T", "G"), ("ACGTTGCAA", 4, "T", "A"), ("CGTTGCAAC", 4, "GC", "CA")]
    for effect, (window, start, ref, alt) in zip(found[:3], cases, strict=True):
        nats = masked_nats(BIDIRECTIONAL, window, start, start + len(ref))
        expected = sum(
            row["ACGT".index(new)] - row["ACGT".index(old)]
            for row, new, old in zip(nats, alt, ref, strict=True)
        )
        if both:
            ref, alt = reverse_complement(ref), reverse_complement(alt)
            end = len(window) - start
            turned = masked_nats(BIDIRECTIONAL, reverse_complement(window), end - len(ref), end)
            other = sum(
                row["ACGT".index(new)] - row["ACGT".index(old)]
                for row, new, old in zip(turned, alt, ref, strict=True)
            )
            expected = (expected + other) / 2
        assert effect.dll_nats == pytest.approx(expected, abs=OUTPUT_FP64)
        assert (effect.dll_flank_nats, effect.scored_bp) == (None, len(ref))
    assert [effect.reason for effect in found[3:]] == ["length_change", "spanning_deletion"]


def test_an_equivariant_model_needs_no_second_strand(reference: Reference) -> None:
    network = build(CASES[0], direction="bidirectional", rc="equivariant")
    variant = Variant("line", 9, "CC", ("TA",))
    (one,) = effects(network, reference, variant)
    (two,) = effects(network, reference, variant, both_strands=True)
    assert one.dll_nats == pytest.approx(two.dll_nats, abs=OUTPUT_FP64)


def test_a_model_of_both_directions_is_read_causally(reference: Reference) -> None:
    network = build(CASES[0], direction="both")
    variant = Variant("line", 9, "C", ("T",))
    ((_, (expected,)),) = score_variants_reference(network, reference, [variant])
    (found,) = effects(network, reference, variant)
    assert found.dll_nats == pytest.approx(expected.dll_nats, abs=OUTPUT_FP64)
    assert found.dll_flank_nats is not None
