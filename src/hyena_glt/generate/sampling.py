"""Sampling: each letter from the network's own prediction, with carried state."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8

from hyena_glt.errors import SamplingError, SequenceError
from hyena_glt.model import HyenaGLT
from hyena_glt.nn import select_rows
from hyena_glt.stream import read_rows
from hyena_glt.tokenize import encode

ROWS = 64  # that go on together; changes no result
BATCH_BP = 32_768  # positions of prompts in memory at once


class Sample(NamedTuple):
    """What followed a prompt."""

    prompt: str
    sequence: str  # without the prompt
    loglik_nats: Float64[np.ndarray, " L"]  # ln p of each letter under the model itself


def sample(
    network: HyenaGLT,
    prompts: Sequence[str],
    length_bp: int,
    *,
    count: int = 1,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
) -> list[Sample]:
    """Return ``count`` continuations of ``length_bp`` letters of each prompt, prompt by prompt.

    Prompts may be empty and of different lengths. The cost of a letter doesn't depend on how many
    came before. A letter is drawn from the prediction at ``temperature``, among its ``top_k``
    likeliest letters, and of these among the fewest whose probability reaches ``top_p`` (Holtzman
    et al. 2020, arXiv:1904.09751). Row i draws from a random stream of its own, made of
    (``seed``, i): it doesn't depend on the rows beside it.

    Raises SequenceError for a prompt with a letter that the modality doesn't have or that has no
    definite base, SamplingError for a setting out of its range, DirectionError for a bidirectional
    network.
    """
    network.begin(1)  # refuses a bidirectional network before anything else
    _check_settings(network, length_bp, count, seed, temperature, top_k, top_p)
    rows = [prompt for prompt in prompts for _ in range(count)]
    read = (_prompt_ids(network, prompt, number) for number, prompt in enumerate(prompts))
    ids = [row for row in read for _ in range(count)]
    samples = []
    for first in range(0, len(ids), ROWS):
        group = ids[first : first + ROWS]
        # Row by row, so that a row's numbers are its own.
        uniform = np.stack(
            [np.random.default_rng((seed, first + i)).random(length_bp) for i in range(len(group))]
        )
        letters, loglik_nats = _continue(network, group, uniform, temperature, top_k, top_p)
        for row, prompt in enumerate(rows[first : first + ROWS]):
            text = "".join(network.alphabet.letters[i] for i in letters[row])
            samples.append(Sample(prompt, text, loglik_nats[row]))
    return samples


@torch.no_grad()
def _continue(
    network: HyenaGLT,
    prompts: Sequence[UInt8[np.ndarray, "..."]],
    uniform: Float64[np.ndarray, "B L"],
    temperature: float,
    top_k: int | None,
    top_p: float | None,
) -> tuple[Int64[np.ndarray, "B L"], Float64[np.ndarray, "B L"]]:
    """Return (indices of each row's letters, the ln p of each)."""
    letters = np.empty(uniform.shape, dtype=np.int64)
    loglik_nats = np.empty(uniform.shape)
    # A prompt of many rows is read once.
    distinct = {prompt.tobytes(): prompt for prompt in prompts}
    places = list(distinct)
    state, logits = read_rows(network, list(distinct.values()), BATCH_BP)
    copies = torch.tensor([places.index(prompt.tobytes()) for prompt in prompts])
    copies = copies.to(logits.device)
    state, logits = select_rows(state, copies), logits[copies]
    letter_ids = torch.from_numpy(encode(network.alphabet.letters)).long().to(logits.device)
    for position in range(uniform.shape[1]):
        raw = logits.cpu().double().numpy()
        picked = draw(distribution(raw, temperature, top_k, top_p), uniform[:, position])
        letters[:, position] = picked
        loglik_nats[:, position] = log_probabilities(raw)[np.arange(len(picked)), picked]
        if position + 1 < uniform.shape[1]:
            drawn = letter_ids[torch.from_numpy(picked).to(logits.device)]
            output = network(drawn[:, None], state=state)
            assert output.state is not None
            state, logits = output.state, output.logits[:, -1]
    return letters, loglik_nats


def distribution(
    logits: Float64[np.ndarray, "B V"],
    temperature: float,
    top_k: int | None = None,
    top_p: float | None = None,
) -> Float64[np.ndarray, "B V"]:
    """Return what letters are drawn from: softmax(logits / temperature), cut and normalised.

    Letters of equal probability are taken in the alphabet's order.
    """
    with np.errstate(over="ignore"):  # far below the largest is -inf, which has no probability
        shifted = (logits - logits.max(1, keepdims=True)) / temperature
    p = np.asarray(np.exp(log_probabilities(shifted)))
    if top_k is None and top_p is None:
        return p
    order = np.argsort(-p, axis=1, kind="stable")
    ranked = np.take_along_axis(p, order, 1)
    kept = np.ones_like(ranked, dtype=np.bool_)
    if top_k is not None:
        kept[:, top_k:] = False
        ranked = np.where(kept, ranked, 0)
        ranked /= ranked.sum(1, keepdims=True)
    if top_p is not None:
        # A letter is in where those before it don't reach top_p; the likeliest always is.
        before = ranked.cumsum(1) - ranked
        kept &= before < top_p
        kept[:, 0] = True
    cut = np.zeros_like(p)
    np.put_along_axis(cut, order, np.where(kept, ranked, 0), 1)
    return np.asarray(cut / cut.sum(1, keepdims=True))


def draw(
    p: Float64[np.ndarray, "B V"], uniform: Float64[np.ndarray, " B"]
) -> Int64[np.ndarray, " B"]:
    """Return, row by row, the first letter at which the sum of ``p`` exceeds ``uniform``."""
    total = p.cumsum(1)
    index = (total <= uniform[:, None] * total[:, -1:]).sum(1)
    last = p.shape[1] - 1 - np.argmax(p[:, ::-1] > 0, axis=1)  # rounding may pass the end
    return np.asarray(np.minimum(index, last))


def log_probabilities(logits: Float64[np.ndarray, "B V"]) -> Float64[np.ndarray, "B V"]:
    """Return ln softmax(logits)."""
    shifted = logits - logits.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


def _check_settings(
    network: HyenaGLT,
    length_bp: int,
    count: int,
    seed: int,
    temperature: float,
    top_k: int | None,
    top_p: float | None,
) -> None:
    letters = len(network.alphabet.letters)
    for name, value, least in (("length_bp", length_bp, 1), ("count", count, 1), ("seed", seed, 0)):
        if value < least:
            raise SamplingError(f"{name}={value}: expected at least {least}")
    if not (temperature > 0 and math.isfinite(temperature)):
        raise SamplingError(
            f"temperature={temperature}: expected a positive number; for the likeliest letter "
            "each time use top_k=1"
        )
    if top_k is not None and not 1 <= top_k <= letters:
        raise SamplingError(f"top_k={top_k}: expected 1 to {letters}, the letters there are")
    if top_p is not None and not 0 < top_p <= 1:
        raise SamplingError(f"top_p={top_p}: expected a number above 0 and up to 1")


def _prompt_ids(network: HyenaGLT, prompt: str, number: int) -> UInt8[np.ndarray, " L"]:
    ids = encode(prompt)
    network.alphabet.validate(ids, f"prompt {number + 1}")
    unknown = np.flatnonzero(network.alphabet.letter_index(ids) < 0)
    if len(unknown):
        at = int(unknown[0])
        raise SequenceError(
            f"prompt {number + 1}, position {at} (0-based): found {prompt[at]!r}, a letter without "
            f"a definite base; expected {' '.join(network.alphabet.letters)}"
        )
    return ids
