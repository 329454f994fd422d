"""Layers: their names, widths and rates, in the order of the forward pass."""

import pytest
from properties.tiny import Case, build

from hyena_glt.embed import Layer, embed_sequences, layers_of


def test_one_stage_has_an_encoder_a_backbone_and_a_decoder() -> None:
    assert layers_of(build(Case("SM", "fixed", 1, "SL", "A", "plain"))) == [
        Layer("embed", 4, 0),
        Layer("encoder.0", 4, 0),
        Layer("encoder.1", 4, 0),
        Layer("backbone.0", 8, 1),
        Layer("backbone.1", 8, 1),
        Layer("backbone.norm", 8, 1),
        Layer("decoder.0", 4, 0),
    ]


def test_inner_stages_are_numbered_and_the_backbone_is_innermost() -> None:
    found = layers_of(build(Case("S", "fixed", 2, "S", "MA", "plain")))
    assert [(layer.name, layer.rate) for layer in found] == [
        ("embed", 0),
        ("encoder.0", 0),
        ("stage2.encoder.0", 1),
        ("backbone.0", 2),
        ("backbone.norm", 2),
        ("stage2.decoder.0", 1),
        ("stage2.decoder.1", 1),
        ("decoder.0", 0),
        ("decoder.1", 0),
    ]


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("backbone.-1", "backbone.1"),
        ("backbone.-2", "backbone.0"),
        ("stage2.decoder.-1", "stage2.decoder.1"),
        ("decoder.-2", "decoder.0"),
    ],
)
def test_a_negative_number_counts_from_the_end_of_its_own_stack(name: str, same: str) -> None:
    network = build(Case("S", "fixed", 2, "SL", "MA", "plain"))
    found, expected = (embed_sequences(network, ["ACGTTGCA"], layer) for layer in (name, same))
    assert (found == expected).all()
