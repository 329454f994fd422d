"""Sampling."""

import torch

from hyena_glt.errors import SequenceError
from hyena_glt.model import HyenaGLT
from hyena_glt.tokenize import BOS, encode


@torch.no_grad()
def sample(
    network: HyenaGLT,
    prompt: str,
    length_bp: int,
    count: int,
    generator: torch.Generator,
    temperature: float = 1.0,
) -> list[str]:
    """Return ``count`` sampled continuations of ``prompt``, each of ``length_bp`` letters.

    The prompt, which may be empty, isn't part of them. The cost of a letter doesn't depend on how
    many came before. ``generator`` is on the CPU, so that a seed gives the same draws everywhere.
    Raises SequenceError for a prompt with a letter that the modality doesn't have, ValueError for a
    temperature that isn't positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature={temperature}: expected a positive number")
    if length_bp < 1 or count < 1:
        raise ValueError(f"length_bp={length_bp}, count={count}: expected at least 1")
    ids = encode(prompt)
    network.alphabet.validate(ids, "prompt")
    if (network.alphabet.letter_index(ids) < 0).any():
        raise SequenceError("the prompt holds a letter without a definite base, such as N")
    device = next(network.parameters()).device
    row = torch.cat([torch.tensor([BOS]), torch.from_numpy(ids).long()])
    output = network(row.repeat(count, 1).to(device), state=network.begin(count))
    letter_ids = torch.from_numpy(encode(network.alphabet.letters)).long()
    drawn = []
    for position in range(length_bp):
        p = (output.logits[:, -1].double().cpu() / temperature).softmax(-1)
        letters = torch.multinomial(p, 1, generator=generator)
        drawn.append(letters[:, 0])
        if position + 1 < length_bp:
            output = network(letter_ids[letters].to(device), state=output.state)
    return [
        "".join(network.alphabet.letters[i] for i in row) for row in torch.stack(drawn, 1).tolist()
    ]
