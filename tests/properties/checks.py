"""The properties, each a function that raises AssertionError where a network lacks it.

``test_leaks.py`` shows that they catch networks that look ahead or at their neighbours.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hyena_glt.model import HyenaGLT
from hyena_glt.model.glt import ModelState
from hyena_glt.nn import select_rows
from properties.tiny import document, padded, tensors_of
from properties.tolerances import GRADIENT_FP32_RELATIVE, GRADIENT_FP64, OUTPUT

OTHERS = {"A": "CGT", "C": "AGT", "G": "ACT", "T": "ACG"}


def same(found: Tensor, expected: Tensor) -> None:
    """Equal to the tolerance of outputs."""
    tolerance = OUTPUT[expected.dtype] if expected.dtype.is_floating_point else 0.0
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)


def same_gradient(found: Tensor, expected: Tensor) -> None:
    """Equal to the tolerance of gradients; in fp32 relative to the largest one."""
    if expected.dtype == torch.float64:
        limit = GRADIENT_FP64
    else:
        limit = GRADIENT_FP32_RELATIVE * max(float(expected.abs().max()), 1e-30)
    torch.testing.assert_close(found, expected, atol=limit, rtol=0)


def same_state(found: ModelState | None, expected: ModelState | None) -> None:
    """Every tensor of two states is equal."""
    assert found is not None
    assert expected is not None
    for one, other in zip(tensors_of(found), tensors_of(expected), strict=True):
        same(one, other)


@torch.no_grad()
def check_causal_by_perturbation(network: HyenaGLT, ids: Tensor) -> None:
    """Another letter at j changes nothing before j, and something from j on."""
    whole = network(ids)
    length = ids.shape[1]
    changed, where = [], []
    for j in range(1, length):
        letter = chr(int(ids[0, j])).upper()
        for other in OTHERS.get(letter, "ACGT"):
            row = ids[0].clone()
            row[j] = ord(other)
            changed.append(row)
            where.append(j)
    output = network(torch.stack(changed))
    for i, j in enumerate(where):
        same(output.logits[i, :j], whole.logits[0, :j])
        for emission, expected in zip(output.emissions, whole.emissions, strict=True):
            same(emission.mask[i, :j], expected.mask[0, :j])
        assert not torch.equal(output.logits[i, j:], whole.logits[0, j:]), f"{j} is not read"


def check_causal_by_jacobian(network: HyenaGLT, ids: Tensor) -> None:
    """d output[t] / d embedding[s] is zero for s > t and for other rows, and not for s = t."""
    embedded: list[Tensor] = []

    def capture(_module: object, _args: object, output: tuple[Tensor, Tensor]) -> object:
        embedded.append(output[0].detach().requires_grad_())
        return embedded[0], output[1]

    handle = network.embed.register_forward_hook(capture)
    logits = network(torch.cat([ids, ids.flip(1).roll(1, 1)])).logits
    handle.remove()
    direction = torch.randn(logits.shape[2], dtype=logits.dtype)
    for t in range(ids.shape[1]):
        (slope,) = torch.autograd.grad(logits[0, t] @ direction, embedded, retain_graph=True)
        same_gradient(slope[0, t + 1 :], torch.zeros_like(slope[0, t + 1 :]))
        same_gradient(slope[1], torch.zeros_like(slope[1]))
        assert slope[0, t].abs().max() > 0, f"output {t} doesn't depend on position {t}"


@torch.no_grad()
def check_prefixes(network: HyenaGLT, ids: Tensor) -> None:
    """f(x[:n]) == f(x)[:n] for every n: nothing depends on a length."""
    whole = network(ids)
    for n in range(1, ids.shape[1] + 1):
        part = network(ids[:, :n])
        same(part.logits, whole.logits[:, :n])
        for emission, expected in zip(part.emissions, whole.emissions, strict=True):
            same(emission.mask, expected.mask[:, :n])


@torch.no_grad()
def check_pieces(network: HyenaGLT, ids: Tensor, sizes: Sequence[int]) -> None:
    """Pieces of any sizes with carried state give the numbers, boundaries and state of one pass."""
    assert sum(sizes) == ids.shape[1]
    whole = network(ids, state=network.begin(len(ids)))
    fresh = network(ids)
    same(fresh.logits, whole.logits)
    state = network.begin(len(ids))
    logits, masks = [], []
    for piece in torch.split(ids, list(sizes), 1):
        output = network(piece, state=state)
        state = output.state
        logits.append(output.logits)
        masks.append([emission.mask for emission in output.emissions])
    same(torch.cat(logits, 1), whole.logits)
    for emission, *parts in zip(whole.emissions, *masks, strict=True):
        same(torch.cat(parts, 1), emission.mask)
    same_state(state, whole.state)


def check_batch_mates(network: HyenaGLT, rows: Sequence[Tensor]) -> None:
    """A row is the same alone and beside others, padded or not: outputs and gradients."""
    ids, length = padded(rows)
    output = network(ids, length)
    alone = [network(row) for row in rows]
    generator = torch.Generator().manual_seed(5)
    direction = torch.randn(output.logits.shape, generator=generator, dtype=output.logits.dtype)
    loss, loss_alone = output.logits.new_zeros(()), output.logits.new_zeros(())
    for i, row in enumerate(rows):
        n = row.shape[1]
        same(output.logits[i, :n], alone[i].logits[0])
        for emission, expected in zip(output.emissions, alone[i].emissions, strict=True):
            same(emission.mask[i, :n], expected.mask[0])
            assert not emission.mask[i, n:].any(), "padding closes a patch"
        loss = loss + (output.logits[i, :n] * direction[i, :n]).sum()
        loss_alone = loss_alone + (alone[i].logits[0] * direction[i, :n]).sum()
    parameters = list(network.parameters())
    together = torch.autograd.grad(loss, parameters)
    separate = torch.autograd.grad(loss_alone, parameters)
    for found, expected in zip(together, separate, strict=True):
        same_gradient(found, expected)


@torch.no_grad()
def check_ragged(network: HyenaGLT, rows: Sequence[Tensor], plan: Sequence[Sequence[int]]) -> None:
    """Rows that go on by different lengths in each call (0 too) are as each row alone.

    ``plan`` holds, for each call, the number of positions that each row takes.
    """
    state = network.begin(len(rows))
    taken = [0] * len(rows)
    found: list[list[Tensor]] = [[] for _ in rows]
    for lengths in plan:
        ids = torch.full((len(rows), max(1, *lengths)), ord("T"))
        for i, n in enumerate(lengths):
            ids[i, :n] = rows[i][0, taken[i] : taken[i] + n]
            taken[i] += n
        output = network(ids, torch.tensor(lengths), state)
        state = output.state
        for i, n in enumerate(lengths):
            found[i].append(output.logits[i, :n])
    for i, row in enumerate(rows):
        mine = select_rows(state, torch.tensor([i]))
        if taken[i] == 0:
            same_state(mine, network.begin(1))
            continue
        alone = network(row[:, : taken[i]], state=network.begin(1))
        same(torch.cat(found[i]), alone.logits[0])
        same_state(mine, alone.state)


@torch.no_grad()
def check_fork(network: HyenaGLT, prompts: Tensor, endings: Tensor, rows: Sequence[int]) -> None:
    """A state's rows can be taken, in any order and many times, and go on independently."""
    state = network(prompts, state=network.begin(len(prompts))).state
    index = torch.tensor(rows)
    forked = network(endings, state=select_rows(state, index))
    whole = network(torch.cat([prompts[index], endings], 1))
    same(forked.logits, whole.logits[:, prompts.shape[1] :])


def check_causal_network(network: HyenaGLT) -> None:
    """All of them, on rows of 12 bases and less."""
    length_bp = 12
    ids = document(length_bp)
    check_causal_by_perturbation(network, ids)
    check_causal_by_jacobian(network, ids)
    check_prefixes(network, ids)
    check_pieces(network, ids, [1] * (length_bp + 1))
    check_pieces(network, ids, [2, 1, 5, 4, 1])
    rows = [document(length, seed) for seed, length in enumerate((12, 0, 4, 11))]
    check_batch_mates(network, rows)
    check_ragged(network, rows, [(3, 1, 0, 5), (1, 0, 2, 0), (6, 0, 3, 7), (3, 0, 0, 0)])
    endings = torch.stack([document(5, seed)[0, 1:] for seed in range(3)])
    check_fork(network, torch.cat([ids[:, :8], document(7, 3)]), endings, [1, 0, 1])
