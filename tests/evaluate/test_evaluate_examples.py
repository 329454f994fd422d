import doctest
import importlib
import pkgutil

import pytest

import hyena_glt.evaluate

MODULES = [
    f"hyena_glt.evaluate.{module.name}"
    for module in pkgutil.iter_modules(hyena_glt.evaluate.__path__)
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
