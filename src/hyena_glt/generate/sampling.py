"""Sampling: each letter from the network's own prediction, with carried state."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64, UInt8
from torch import Tensor

from hyena_glt.errors import SamplingError, SequenceError
from hyena_glt.generate.constraints import CODON_BP, Constraints
from hyena_glt.model import HyenaGLT, ModelState
from hyena_glt.nn import select_rows
from hyena_glt.stream import read_rows
from hyena_glt.tokenize import encode

ROWS = 64  # samples drawn side by side
BATCH_BP = 32_768  # positions of prompts in memory at once
DRAWN_BP = 1024  # random numbers of a row that are drawn at once; changes no result


class Sample(NamedTuple):
    """What followed a prompt."""

    prompt: str
    sequence: str  # without the prompt
    loglik_nats: Float64[np.ndarray, " L"]  # ln p of each letter under the model itself
    at_stop_codon: bool = False  # whether a stop codon in frame ended it


class Choice(NamedTuple):
    """How a letter is chosen; the arguments of :func:`distribution`."""

    temperature: float
    top_k: int | None
    top_p: float | None


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
    forbid: Sequence[str] = (),
    start: str = "",
    stop_codon: bool = False,
    max_homopolymer_bp: int | None = None,
    rows: int = ROWS,
) -> list[Sample]:
    """Return what :func:`sample_stream` yields."""
    return list(
        sample_stream(
            network,
            prompts,
            length_bp,
            count=count,
            seed=seed,
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            forbid=forbid,
            start=start,
            stop_codon=stop_codon,
            max_homopolymer_bp=max_homopolymer_bp,
            rows=rows,
        )
    )


def sample_stream(
    network: HyenaGLT,
    prompts: Sequence[str],
    length_bp: int,
    *,
    count: int = 1,
    seed: int = 0,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    forbid: Sequence[str] = (),
    start: str = "",
    stop_codon: bool = False,
    max_homopolymer_bp: int | None = None,
    rows: int = ROWS,
) -> Iterator[Sample]:
    """Yield ``count`` continuations of ``length_bp`` letters of each prompt, prompt by prompt.

    Prompts may be empty and of different lengths. The cost of a letter doesn't depend on how many
    came before, nor the memory on how many samples there are: ``rows`` of them are drawn side by
    side. A letter is drawn from the prediction at ``temperature``, among its ``top_k`` likeliest
    letters, and of these among the fewest whose probability reaches ``top_p`` (Holtzman et al.
    2020, arXiv:1904.09751). Sample i draws from a random stream of its own, made of (``seed``, i):
    it doesn't depend on ``rows`` or on the samples beside it.

    A sample begins with ``start``. No letter completes a motif of ``forbid`` or a run of one letter
    longer than ``max_homopolymer_bp``, the prompt's last letters counted, and none leads to where
    every letter would; what is left is drawn from as above. With ``stop_codon`` a sample ends with
    its first stop codon (TAA TAG TGA) in the frame of its own first letter, and may be shorter than
    ``length_bp``.

    Raises SequenceError for a prompt with a letter that the modality doesn't have or that has no
    definite base, SamplingError for a setting out of its range or without effect and for a prompt
    behind which the constraints leave no letter, DirectionError for a bidirectional network; all of
    them at the call, before the first sample.
    """
    network.begin(1)  # refuses a bidirectional network before anything else
    choice = Choice(temperature, top_k, top_p)
    _check_settings(network, length_bp, count, seed, rows, choice)
    prompt_bp = max(map(len, prompts), default=0)
    constraints = Constraints(
        network.alphabet, prompt_bp, length_bp, forbid, start, stop_codon, max_homopolymer_bp
    )
    ids = [_prompt_ids(network, prompt, number) for number, prompt in enumerate(prompts)]
    begun = []
    for number, prompt in enumerate(ids):
        letters = network.alphabet.letter_index(prompt).astype(np.uint8)
        begun.append(constraints.begin(letters, f"prompt {number + 1}"))
    return _batches(network, prompts, ids, begun, length_bp, count, seed, rows, choice, constraints)


def _batches(
    network: HyenaGLT,
    prompts: Sequence[str],
    ids: Sequence[UInt8[np.ndarray, "..."]],
    begun: Sequence[Int64[np.ndarray, "2"]],
    length_bp: int,
    count: int,
    seed: int,
    rows: int,
    choice: Choice,
    constraints: Constraints,
) -> Iterator[Sample]:
    """Yield the samples, ``rows`` at a time."""
    read: list[bytes] = []
    total = len(ids) * count
    for first in range(0, total, rows):
        numbers = range(first, min(first + rows, total))
        whose = [number // count for number in numbers]
        # A prompt of many rows is read once, and not again for rows of the same prompts.
        distinct = {ids[i].tobytes(): ids[i] for i in whose}
        if read != list(distinct):
            read = list(distinct)
            after_prompts = read_rows(network, list(distinct.values()), BATCH_BP)
        copies = torch.tensor([read.index(ids[i].tobytes()) for i in whose])
        state, logits = select_rows(after_prompts, copies.to(after_prompts[1].device))
        # Row by row, so that a row's numbers are its own.
        random = [np.random.default_rng((seed, number)) for number in numbers]
        behind = np.stack([begun[i] for i in whose])
        drawn = _continue(network, state, logits, behind, length_bp, random, choice, constraints)
        for i, (letters, loglik_nats, stopped) in zip(whose, drawn, strict=True):
            text = "".join(network.alphabet.letters[letter] for letter in letters)
            yield Sample(prompts[i], text, loglik_nats, stopped)


class _Drawn(NamedTuple):
    letters: UInt8[np.ndarray, " L"]
    loglik_nats: Float64[np.ndarray, " L"]
    at_stop_codon: bool


@torch.no_grad()
def _continue(
    network: HyenaGLT,
    state: ModelState,
    logits: Float[Tensor, "B V"],
    behind: Int64[np.ndarray, "B 2"],
    length_bp: int,
    random: Sequence[np.random.Generator],
    choice: Choice,
    constraints: Constraints,
) -> list[_Drawn]:
    """Return what each row draws; a row that has come to its end leaves the batch."""
    letters = np.empty((len(random), length_bp), dtype=np.uint8)
    loglik_nats = np.empty(letters.shape)
    end = np.full(len(random), length_bp)
    stopped = np.zeros(len(random), dtype=np.bool_)
    letter_ids = torch.from_numpy(encode(network.alphabet.letters)).long().to(logits.device)
    going = np.arange(len(random))  # the rows that are in the batch
    for position in range(length_bp):
        if position % DRAWN_BP == 0:
            uniform = np.stack([each.random(DRAWN_BP) for each in random])
        raw = logits.cpu().double().numpy()
        may = constraints.may_come(behind, position)
        p = distribution(np.where(may, raw, -np.inf), *choice)
        picked = draw(p, uniform[going, position % DRAWN_BP]).astype(np.uint8)
        letters[going, position] = picked
        loglik_nats[going, position] = log_probabilities(raw)[np.arange(len(picked)), picked]
        behind = constraints.follow(behind, picked)
        ended = np.zeros(len(going), dtype=np.bool_)
        if constraints.may_end(position):
            ended = constraints.ended(letters[going, position + 1 - CODON_BP : position + 1])
        if ended.any():
            end[going[ended]], stopped[going[ended]] = position + 1, True
            left = np.flatnonzero(~ended)
            state = select_rows(state, torch.from_numpy(left).to(logits.device))
            going, picked, behind = going[left], picked[left], behind[left]
        if position + 1 == length_bp or len(going) == 0:
            break
        drawn = letter_ids[torch.from_numpy(picked).long().to(logits.device)]
        output = network(drawn[:, None], state=state)
        assert output.state is not None
        state, logits = output.state, output.logits[:, -1]
    return [
        _Drawn(letters[row, :n].copy(), loglik_nats[row, :n].copy(), bool(stopped[row]))
        for row, n in enumerate(end.tolist())
    ]


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
    rows: int,
    choice: Choice,
) -> None:
    temperature, top_k, top_p = choice
    letters = len(network.alphabet.letters)
    settings = {"length_bp": length_bp, "count": count, "rows": rows, "seed": seed}
    for name, value in settings.items():
        least = 0 if name == "seed" else 1
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
