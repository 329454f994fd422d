"""Attention sees a window: none at all is refused, with the price of one of whole rows."""

from pathlib import Path

import pytest

from hyena_glt.config import load_recipe
from hyena_glt.errors import RecipeError

TINY = Path(__file__).parents[2] / "recipes" / "tiny.yaml"


def test_attention_without_a_window_is_refused_with_what_one_costs() -> None:
    with pytest.raises(RecipeError, match=r"mixers\.A\.window_bp: found null") as error:
        load_recipe(TINY, ["model.backbone.layout=SA", "model.mixers={A: {window_bp: null}}"])
    for words in ("window_bp: 8192", "square of the window", "hyena-glt info"):
        assert words in str(error.value)
