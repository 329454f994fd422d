"""The small convolution: trained once, then as fixed as a table."""

import numpy as np
import pytest
import torch
from torch import Tensor

from hyena_glt.config import ConvEntropyConfig, KmerEntropyConfig
from hyena_glt.errors import SequenceError
from hyena_glt.model.entropy import ConvEntropy, KmerEntropy, build_entropy
from hyena_glt.model.entropy import conv as conv_file
from hyena_glt.tokenize import BOS, PAD, Modality, alphabet, encode


def model(modality: Modality = "dna", **settings: int) -> ConvEntropy:
    given = {"width": 8, "layers": 2, "kernel": 3, "bases": 300_000, **settings}
    config = ConvEntropyConfig.model_validate({"kind": "conv", "lr": 3e-2, **given})
    return ConvEntropy(config, alphabet(modality))


def live(seed: int = 0, modality: Modality = "dna") -> ConvEntropy:
    """A model with weights of which each counts."""
    built = model(modality)
    generator = torch.Generator().manual_seed(seed)
    weights = 0.5 * torch.randn(built.weight_bits.shape, generator=generator)
    built.weight_bits.copy_(weights.view(torch.int32))
    return built


def rows(built: ConvEntropy, *sequences: str) -> Tensor:
    """Rows from their start: PAD as the past, BOS, letters."""
    past = [PAD] * built.past_bp + [BOS]
    return torch.tensor([past + encode(sequence).tolist() for sequence in sequences])


def random_dna(length_bp: int, seed: int = 0) -> str:
    return bytes(np.random.default_rng(seed).choice(encode("ACGT"), length_bp)).decode()


def test_an_answer_reaches_back_as_far_as_it_says_and_no_further() -> None:
    built = live()
    assert built.past_bp == (3 - 1) * (1 + 2)
    seen = rows(built, random_dna(30))[:, built.past_bp + 1 :]
    before = built(seen)
    reached: set[int] = set()
    for position in range(30):
        changed = seen.clone()
        changed[0, position] = ord("A") if seen[0, position] != ord("A") else ord("C")
        moved = (built(changed) != before)[0].nonzero()[:, 0] + built.past_bp
        # Rounded, an answer may stay as it was; but not all of those at the field's end.
        reached.update((moved - position).tolist())
    assert reached == set(range(built.past_bp + 1))


@pytest.mark.parametrize("tile_bp", [1, 7, 2048])
def test_in_pieces_in_steps_and_beside_any_rows_it_is_the_same(
    tile_bp: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = live()
    seen = rows(built, random_dna(40, 1), random_dna(37, 2) + "NNN", "acgtu" * 8)
    whole = built(seen)
    assert whole.shape == (3, 41)
    assert whole.dtype == torch.int64
    monkeypatch.setattr(conv_file, "TILE_BP", tile_bp)
    assert torch.equal(built(seen), whole)
    for row in range(3):
        assert torch.equal(built(seen[row : row + 1]), whole[row : row + 1])
    for sizes in ([1] * 41, [5, 30, 6], [41, 0]):
        pieces, start = [], 0
        for size in sizes:
            pieces.append(built(seen[:, start : start + size + built.past_bp]))
            start += size
        assert torch.equal(torch.cat(pieces, 1), whole)


def test_case_does_not_matter_and_what_is_no_letter_does() -> None:
    built = live()
    upper = built(rows(built, "GATTACAGAT"))
    assert torch.equal(built(rows(built, "gauuacagat")), upper)
    assert not torch.equal(built(rows(built, "GATTNCAGAT")), upper)
    beheaded = rows(built, "GATTACAGAT")
    beheaded[0, : built.past_bp] = ord("N")
    assert not torch.equal(built(beheaded), upper)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_no_cast_and_no_autocast_changes_it_and_a_load_restores_it_to_the_bit(
    dtype: torch.dtype,
) -> None:
    built = live()
    seen = rows(built, random_dna(50))
    before, saved = built(seen), {name: t.clone() for name, t in built.state_dict().items()}
    built.to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(built(seen), before)
    loaded = model().to(dtype)
    loaded.load_state_dict(saved)
    assert set(saved) == {"weight_bits"}
    assert torch.equal(loaded.weight_bits, saved["weight_bits"])
    assert torch.equal(loaded(seen), before)
    assert not list(loaded.parameters())  # no optimiser moves it


@pytest.mark.parametrize(("modality", "letters"), [("dna", 4), ("protein", 20)])
def test_entropies_lie_between_none_and_that_of_equal_letters(
    modality: Modality, letters: int
) -> None:
    most = round(1024 * np.log2(letters))
    sequence = "ACDEFGHIKLMNPQRSTVWY" if modality == "protein" else "ACGTACGTACGTAACC"
    blank = model(modality)
    assert set(blank(rows(blank, sequence)).flatten().tolist()) == {most}
    built = live(modality=modality)
    found = built(rows(built, sequence))
    assert int(found.min()) >= 0
    assert int(found.max()) <= most


def test_a_fit_is_decided_by_its_seed_alone() -> None:
    regions = [encode(random_dna(1000)), encode("NNACGTN")]
    state = torch.get_rng_state()
    found = []
    for seed, draws in ((3, 0), (3, 5), (4, 0)):
        torch.rand(draws)
        built = model(bases=20_000)
        with torch.no_grad():
            built.fit(iter(regions), seed)
        found.append(built.weight_bits.clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    torch.set_rng_state(state)
    model(bases=20_000).fit(regions, 3)
    assert torch.equal(torch.get_rng_state(), state)


def test_it_learns_what_comes_next_on_both_strands() -> None:
    # AAC AAC ... is certain from the second letter on; on the other strand it is GTT GTT ...
    built = model()
    built.fit([encode("AAC" * 200)])
    here, there = built(rows(built, "AAC" * 20, "GTT" * 20))
    assert int(here[10:].max()) < 300
    assert int(there[10:].max()) < 300
    assert int(built(rows(built, "GTTCAGCATGCC"))[0, 5:].max()) > 300


def test_proteins_have_one_strand_and_twenty_letters() -> None:
    built = model("protein")
    built.fit([encode("MKV" * 150), encode("MK")])
    assert int(built(rows(built, "MKV" * 20))[0, 10:].max()) < 300
    assert built.has_strands is False


def test_what_is_no_letter_is_never_asked_for() -> None:
    # Half of the bases are N: were N an answer, a letter after a letter would be in doubt.
    built = model()
    built.fit([encode(("A" * 8 + "N" * 8) * 40)])
    found = built(rows(built, "A" * 8 + "N" * 8))[0]
    assert int(found[2:8].max()) < 300


def test_regions_without_a_letter_are_refused() -> None:
    with pytest.raises(SequenceError, match="found no letter"):
        model().fit([encode("NNN"), encode("")])


def test_a_config_names_its_model() -> None:
    dna = alphabet("dna")
    assert isinstance(build_entropy(KmerEntropyConfig(kind="kmer", k=2), dna), KmerEntropy)
    assert isinstance(build_entropy(ConvEntropyConfig(kind="conv"), dna), ConvEntropy)
