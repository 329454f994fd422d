"""Windows that begin alike are read once, and what has died out may be left out."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from properties.tiny import Case, build
from properties.tolerances import OUTPUT_FP64

from hyena_glt.io import Reference, Variant
from hyena_glt.model import HyenaGLT
from hyena_glt.score import Effect, passages, score_variants, score_variants_reference

NEAR = build(Case("S", "none", 1, "S", "S", "plain"))  # a base changes the answers of a few after
FAR = build(Case("SM", "letters", 1, "SML", "M", "hashed"))  # and here of all, less and less
LETTERS = "".join(np.random.default_rng(3).choice(list("ACGT"), 3000))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    path = tmp_path_factory.mktemp("passages") / "genome.fa"
    path.write_text(f">one\n{LETTERS}\n>circle\n{LETTERS[:700]}\n")
    with Reference(path, circular=["circle"]) as opened:
        yield opened


def snvs(*starts: int, contig: str = "one") -> list[Variant]:
    others = {letter: tuple("ACGT".replace(letter, "")) for letter in "ACGT"}
    return [Variant(contig, start, LETTERS[start], others[LETTERS[start]]) for start in starts]


def effects(
    network: HyenaGLT, reference: Reference, asked: list[Variant], **how: Any
) -> list[Effect]:
    scored = score_variants(network, reference, asked, **how)
    return [effect for _, found in scored for effect in found]


@contextmanager
def positions_read(network: HyenaGLT) -> Iterator[list[int]]:
    """How many positions each call to the network holds, padding too."""
    sizes: list[int] = []

    def count(_: torch.nn.Module, ids: tuple[torch.Tensor, ...]) -> None:
        sizes.append(ids[0].numel())

    hook = network.register_forward_pre_hook(count)
    yield sizes
    hook.remove()


@st.composite
def drawn_records(draw: st.DrawFn) -> list[tuple[str, int, str, tuple[str, ...]]]:
    """SNVs, several bases at once, insertions and deletions, at random distances, in any order."""
    alleles = st.lists(st.text("ACGT", min_size=1, max_size=5), min_size=1, max_size=3)
    contig = draw(st.sampled_from(["one", "circle"]))
    length_bp = 3000 if contig == "one" else 700
    start = draw(st.integers(0, length_bp - 1))
    found = []
    for step in draw(st.lists(st.integers(-3, 40), min_size=1, max_size=7)):
        start = min(max(start + step, 0), length_bp - 1)
        ref = LETTERS[start : min(start + draw(st.integers(1, 4)), length_bp)]
        found.append((contig, start, ref, tuple(draw(alleles))))
    return found


@pytest.mark.slow
@settings(max_examples=6)
@given(
    records=drawn_records(),
    stride_bp=st.sampled_from([None, 32, 100]),
    both=st.booleans(),
    batch_bp=st.sampled_from([150, 2000]),
)
def test_sites_of_one_passage_have_the_numbers_of_two_whole_windows(
    reference: Reference,
    records: list[tuple[str, int, str, tuple[str, ...]]],
    stride_bp: int | None,
    both: bool,
    batch_bp: int,
) -> None:
    asked = [Variant(*record) for record in records]
    how = {"window_bp": 90, "stride_bp": stride_bp, "both_strands": both}
    found = effects(FAR, reference, asked, batch_bp=batch_bp, **how)
    explicit = score_variants_reference(FAR, reference, asked, **how)  # type: ignore[arg-type]
    for effect, other in zip(found, (e for _, each in explicit for e in each), strict=True):
        assert effect[2:] == other[2:]
        if other.dll_nats is not None:
            assert effect.dll_nats == pytest.approx(other.dll_nats, abs=OUTPUT_FP64)
            assert effect.dll_flank_nats == pytest.approx(other.dll_flank_nats, abs=OUTPUT_FP64)


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True])
def test_neighbours_read_their_genome_once(reference: Reference, both: bool) -> None:
    asked = snvs(*range(1000, 1032))
    with positions_read(NEAR) as tiled:
        effects(NEAR, reference, asked, window_bp=500, stride_bp=100, both_strands=both)
    with positions_read(NEAR) as centred:
        effects(NEAR, reference, asked, window_bp=500, both_strands=both)
    strands = 1 + both
    # 96 ALTs of 250 bases to 350, and what lies between a fork and its site; REF's 600 bases.
    assert sum(tiled) <= strands * (96 * (350 + 16) + 2 * 700)
    assert sum(centred) >= strands * (96 + 64) * 250


@pytest.mark.slow
def test_no_more_is_in_memory_than_a_batch(reference: Reference) -> None:
    for stride_bp, tolerance in ((None, 0.0), (200, 0.0), (None, 0.1)):
        with positions_read(NEAR) as sizes:
            effects(
                NEAR,
                reference,
                snvs(*range(600, 680, 8)),
                window_bp=800,
                stride_bp=stride_bp,
                tail_tolerance_nats=tolerance,
                batch_bp=1200,
            )
        assert max(sizes) <= 1200


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True])
def test_what_has_died_out_is_left_out_and_the_number_stays(
    reference: Reference, both: bool
) -> None:
    indels = [Variant("one", 1500, LETTERS[1500], (LETTERS[1500] + "ACG" * 100, "T" * 9))]
    indels += [Variant("one", 1700, LETTERS[1700:2000], ("A",))]
    asked = [*snvs(1400, 1401, 2900), *indels]
    how = {"window_bp": 1600, "both_strands": both}
    with positions_read(NEAR) as whole:
        exact = effects(NEAR, reference, asked, **how)
    with positions_read(NEAR) as cut:
        found = effects(NEAR, reference, asked, tail_tolerance_nats=1e-9, **how)
    for effect, other in zip(found, exact, strict=True):
        assert effect.dll_nats == pytest.approx(other.dll_nats, abs=1e-8)
        assert effect.dll_flank_nats == pytest.approx(other.dll_flank_nats, abs=1e-8)
        assert effect[2:4] == other[2:4]
        assert other.cut_bp == 0
    # An SNV in a window of 1,599 bases: the first look is 256 bases behind it, 543 are left.
    assert found[0].cut_bp == (2 if both else 1) * (799 - 256)
    # At the contig's end only what is there is read, 99 bases: too few to tell.
    assert found[6].cut_bp == (799 - 256 if both else 0)
    assert sum(cut) < 0.8 * sum(whole)


@pytest.mark.slow
def test_an_effect_is_off_by_no_more_than_the_tolerance_over_what_was_cut(
    reference: Reference,
) -> None:
    asked = [*snvs(*range(1000, 1900, 90)), Variant("one", 1203, LETTERS[1203:1210], ("G",))]
    exact = effects(FAR, reference, asked, window_bp=1800)
    for tolerance in (1e-3, 1e-1, 10.0):
        found = effects(FAR, reference, asked, window_bp=1800, tail_tolerance_nats=tolerance)
        assert all(effect.cut_bp for effect in found) or tolerance < 1
        for effect, other in zip(found, exact, strict=True):
            assert effect.dll_nats is not None
            bound = tolerance * effect.cut_bp / passages.SETTLED_BP + OUTPUT_FP64
            assert effect.dll_nats == pytest.approx(other.dll_nats, abs=bound)


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True])
def test_where_an_alt_is_cut_depends_on_nothing_beside_it(reference: Reference, both: bool) -> None:
    insertion = Variant("one", 1209, LETTERS[1209], (LETTERS[1209] + "ACGTTG" * 3,))
    asked = [*snvs(1200, 1203), insertion, *snvs(1222, 1290)]
    how: dict[str, Any] = {
        **{"window_bp": 1600, "stride_bp": 400, "both_strands": both},
        "tail_tolerance_nats": 0.3,
    }
    together = effects(FAR, reference, asked, **how)
    apart = [effect for one in asked for effect in effects(FAR, reference, [one], **how)]
    small = effects(FAR, reference, asked, batch_bp=700, **how)
    assert len({effect.cut_bp for effect in together}) > 1
    for others in (apart, small):
        for effect, other in zip(together, others, strict=True):
            assert effect[2:] == other[2:]
            assert effect.dll_nats == pytest.approx(other.dll_nats, abs=OUTPUT_FP64)
            assert effect.dll_flank_nats == pytest.approx(other.dll_flank_nats, abs=OUTPUT_FP64)


def test_an_effect_that_lives_is_read_to_the_end(reference: Reference) -> None:
    asked = snvs(1500)
    exact = effects(FAR, reference, asked, window_bp=1200)
    found = effects(FAR, reference, asked, window_bp=1200, tail_tolerance_nats=1e-300)
    for effect, other in zip(found, exact, strict=True):
        assert effect.dll_nats == pytest.approx(other.dll_nats, abs=OUTPUT_FP64)
