"""Letters that complete no motif, beside a search through the text."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hyena_glt.generate.motifs import MotifAutomaton

LETTERS = 3  # so that motifs overlap often


def automaton(*motifs: str) -> MotifAutomaton:
    return MotifAutomaton([coded(motif) for motif in motifs], LETTERS)


def coded(text: str) -> np.ndarray:
    return np.array(["ACG".index(letter) for letter in text], np.uint8)


def open_behind(found: MotifAutomaton, text: str) -> str:
    return "".join(np.array(list("ACG"))[found.open[found.read(coded(text))]])


words = st.text("ACG", min_size=1, max_size=4)


@given(motifs=st.lists(words, min_size=1, max_size=4), text=st.text("ACG", max_size=12))
def test_a_letter_is_shut_where_it_completes_a_motif_or_leads_to_where_all_do(
    motifs: list[str], text: str
) -> None:
    found = automaton(*motifs)
    reach = 3**3 + 1  # more letters than there are places without a dead end

    def goes_on(text: str, steps: int, known: dict[tuple[str, int], bool]) -> bool:
        key = text[-3:], steps
        if key not in known:
            known[key] = steps == 0 or any(
                goes_on(text + letter, steps - 1, known)
                for letter in "ACG"
                if not (text + letter).endswith(tuple(motifs))
            )
        return known[key]

    expected = [
        letter
        for letter in "ACG"
        if not (text + letter).endswith(tuple(motifs)) and goes_on(text + letter, reach, {})
    ]
    assert open_behind(found, text) == "".join(expected)


def test_motifs_inside_motifs_and_across_the_texts_end_are_seen() -> None:
    found = automaton("ACGA", "CG")
    assert open_behind(found, "A") == "ACG"
    assert open_behind(found, "AC") == "AC"
    assert open_behind(found, "GGGACG") == "CG"  # the text's own CG stands; ACGA isn't completed
    assert open_behind(found, "ACGACG") == "CG"


def test_a_letter_that_leads_to_a_dead_end_is_shut_long_before() -> None:
    # Behind A nothing may stand, so that C, which asks for A, is shut too, and G alone goes on.
    found = automaton("AA", "AC", "AG", "CC", "CG")
    assert open_behind(found, "") == "G"
    assert open_behind(found, "G") == "G"
    assert open_behind(found, "A") == ""


def test_no_motif_shuts_nothing_and_all_letters_shut_everything() -> None:
    assert open_behind(automaton(), "ACGACG") == "ACG"
    assert open_behind(automaton("A", "C", "G"), "") == ""


def test_a_motif_is_found_wherever_it_stands() -> None:
    found = automaton("CGC", "GA")
    assert [found.is_in(coded(text)) for text in ("ACGC", "CGCA", "AGAC", "CGGC", "")] == [
        True,
        True,
        True,
        False,
        False,
    ]
