"""Plain twins of the network's parts: loops over rows, heads and scales, written from the formulas."""

import math

import torch


def plain_windowed_attention(layer, h_btd, mask_bt):
    """What WindowedAttention computes, one row, one head, one key at a time."""
    batch, num_rows, width = h_btd.shape
    size = width // layer.heads
    projected = layer.project(h_btd).view(batch, num_rows, 3, layer.heads, size)
    context = torch.zeros(batch, num_rows, layer.heads, size)
    for b in range(batch):
        for t in range(num_rows):
            for head in range(layer.heads):
                scores, values = [], []
                for k in range(layer.reach.window):
                    row = t - k * layer.reach.dilation
                    if row < 0 or not mask_bt[b, row]:
                        continue
                    query, key = projected[b, t, 0, head], projected[b, row, 1, head]
                    scores.append(query @ key / math.sqrt(size) + layer.position.bias[head, k])
                    values.append(projected[b, row, 2, head])
                if scores:
                    weights = torch.softmax(torch.stack(scores), dim=0)
                    context[b, t, head] = sum(w * v for w, v in zip(weights, values, strict=True))
    return layer.output(context.flatten(-2))


def plain_cross_attention(attention, states, masks, index, present):
    """(mixed [S, D], A [S, S]) at one origin of one sample, from the formula of A_ij."""
    num_scales, heads = len(states), attention.heads
    size = states[0].shape[-1] // heads
    newest = torch.stack([h[index[j]] for j, h in enumerate(states)])
    matrix = torch.zeros(heads, num_scales, num_scales)
    contexts = torch.zeros(num_scales, heads, size)
    for i in range(num_scales):
        query = attention.query[i](newest[i]).view(heads, size)
        for head in range(heads):
            reads, reads_context = [], []
            for j in range(num_scales):
                rows = [index[j] - k for k in range(attention.key_spans[j])]
                ages = [k for k, row in enumerate(rows) if row >= 0 and masks[j][row] and present[j]]
                if not ages:
                    reads.append(torch.tensor(-1e9))
                    reads_context.append(torch.zeros(size))
                    continue
                key_value = attention.key_value[j](states[j]).view(-1, 2, heads, size)
                scores = torch.stack(
                    [
                        query[head] @ key_value[rows[k], 0, head] / math.sqrt(size)
                        + attention.recency[j][head, k]
                        for k in ages
                    ]
                )
                weights = torch.softmax(scores, dim=0)
                reads_context.append(
                    sum(w * key_value[rows[k], 1, head] for w, k in zip(weights, ages, strict=True))
                )
                reads.append(
                    torch.logsumexp(scores, 0) - math.log(len(ages)) + attention.affinity[head, i, j]
                )
            matrix[head, i] = torch.softmax(torch.stack(reads), dim=0)
            contexts[i, head] = sum(a * c for a, c in zip(matrix[head, i], reads_context, strict=True))
    mixed = attention.norm(newest + attention.output(contexts.flatten(-2)))
    return mixed, matrix.mean(dim=0)
