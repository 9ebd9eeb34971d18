"""Plain twins of the network's parts: loops over rows, heads and scales, written from the formulas."""

import math

import torch


def plain_hierarchy(layer, h_btd, mask_bt):
    """What HierarchicalAggregation answers for every row, one row, one head, one key at a time."""
    batch, num_rows, width = h_btd.shape
    size = width // layer.heads
    query = layer.query(h_btd).view(batch, num_rows, layer.heads, size)
    key, value = (part.view(query.shape) for part in layer.key_value(h_btd).chunk(2, dim=-1))
    context = torch.zeros(batch, num_rows, layer.heads, size)
    for b in range(batch):
        for t in range(num_rows):
            for head in range(layer.heads):
                scores, values = [], []
                newest, number = t, 0
                for level, slots in enumerate(layer.levels):
                    for _ in range(slots):
                        rows = [
                            r for r in range(newest - 2**level + 1, newest + 1) if r >= 0 and mask_bt[b, r]
                        ]
                        if rows:
                            mean = key[b, rows, head].mean(dim=0)
                            values.append(value[b, rows, head].mean(dim=0))
                            position = layer.position.bias[head, number]
                            scores.append(query[b, t, head] @ mean / math.sqrt(size) + position)
                        newest, number = newest - 2**level, number + 1
                if scores:
                    weights = torch.softmax(torch.stack(scores), dim=0)
                    context[b, t, head] = sum(w * v for w, v in zip(weights, values, strict=True))
    return layer.output(context.flatten(-2))


def plain_stem(stem, x_btf, mask_bt):
    """What ConvolutionStem gives, one row at a time."""
    batch, num_rows, _ = x_btf.shape
    out = torch.zeros(batch, num_rows, stem.embed.out_features)
    nothing = torch.zeros(stem.num_features + 1)
    for b in range(batch):
        rows = [torch.cat([x * m, m[None]]) for x, m in zip(x_btf[b], mask_bt[b].float(), strict=True)]
        for t in range(num_rows):
            window = torch.cat([rows[r] if r >= 0 else nothing for r in range(t - stem.kernel + 1, t + 1)])
            embedded = stem.embed(rows[t][:-1])
            out[b, t] = embedded + torch.nn.functional.gelu(stem.convolution(window))
    return out


def plain_cross_attention(attention, states, masks, rows, present):
    """(mixed [S, D], A [S, S], share of what was read [S]) at one origin of one sample; row -1 is none."""
    num_scales, heads = len(states), attention.heads
    size = states[0].shape[-1] // heads
    newest = torch.stack([h[max(rows[j], 0)] for j, h in enumerate(states)])
    matrix = torch.zeros(heads, num_scales, num_scales)
    contexts = torch.zeros(num_scales, heads, size)
    for i in range(num_scales):
        query = attention.query[i](newest[i]).view(heads, size) * (rows[i] >= 0)
        for head in range(heads):
            reads, reads_context = [], []
            for j in range(num_scales):
                ages = [
                    k
                    for k in range(attention.key_spans[j])
                    if rows[j] - k >= 0 and masks[j][rows[j] - k] and present[j]
                ]
                if not ages:
                    reads.append(torch.tensor(-math.inf))
                    reads_context.append(torch.zeros(size))
                    continue
                key_value = attention.key_value[j](states[j]).view(-1, 2, heads, size)
                scores = torch.stack(
                    [
                        query[head] @ key_value[rows[j] - k, 0, head] / math.sqrt(size)
                        + attention.recency[j][head, k]
                        for k in ages
                    ]
                )
                weights = torch.softmax(scores, dim=0)
                reads_context.append(
                    sum(w * key_value[rows[j] - k, 1, head] for w, k in zip(weights, ages, strict=True))
                )
                reads.append(
                    torch.logsumexp(scores, 0) - math.log(len(ages)) + attention.affinity[head, i, j]
                )
            matrix[head, i] = torch.softmax(torch.stack(reads), dim=0)
            contexts[i, head] = sum(a * c for a, c in zip(matrix[head, i], reads_context, strict=True))
    own, read = newest.norm(dim=-1), contexts.flatten(-2).norm(dim=-1)
    return attention.norm(newest + contexts.flatten(-2)), matrix.mean(dim=0), read / (own + read)


def plain_fusion(fusion, mixed, present):
    """(fused [D], gate [S]) at one origin."""
    scores = [
        fusion.static[i] + fusion.dynamic[i](mixed[i])[0] if present[i] else torch.tensor(-math.inf)
        for i in range(len(mixed))
    ]
    gate = torch.softmax(torch.stack(scores), dim=0)
    return sum(g * h for g, h in zip(gate, mixed, strict=True)), gate


def plain_across_symbols(attention, fused, present, asking):
    """What one symbol of a group makes of the fused states [D] of all, one head and symbol at a time."""
    heads, size = attention.heads, len(fused[0]) // attention.heads
    query = attention.query(fused[asking]).view(heads, size)
    context = torch.zeros(heads, size)
    for head in range(heads):
        scores, values = [], []
        for state, there in zip(fused, present, strict=True):
            if there:
                key, value = attention.key_value(state).view(2, heads, size)
                scores.append(query[head] @ key[head] / math.sqrt(size))
                values.append(value[head])
        if scores:
            weights = torch.softmax(torch.stack(scores), dim=0)
            context[head] = sum(w * v for w, v in zip(weights, values, strict=True))
    return attention.norm(fused[asking] + context.flatten())


def plain_heads(heads, fused, origin, base):
    """(log variance [H], quantiles [H, Q], up logit [H]) at one origin."""
    out = heads.output(heads.mix(torch.cat([fused, origin]))).view(heads.num_horizons, -1)
    log_variance, quantiles = [], []
    for h in range(heads.num_horizons):
        log_variance.append(base[h] + 3 * torch.tanh(out[h, 0] / 3))
        levels, moves, m = heads.base_quantiles[h], out[h, 2:], heads.median
        steps = [
            torch.nn.functional.softplus(
                torch.log(torch.expm1((levels[q + 1] - levels[q]).clamp(min=2e-4) - 1e-4))
                + moves[q if q < m else q + 1]
            )
            + 1e-4
            for q in range(len(levels) - 1)
        ]
        row = [levels[m] + moves[m]]
        for q in range(m - 1, -1, -1):
            row.insert(0, row[0] - steps[q])
        for q in range(m, len(levels) - 1):
            row.append(row[-1] + steps[q])
        quantiles.append(torch.stack(row))
    return torch.stack(log_variance), torch.stack(quantiles), out[:, 1]


def plain_forecast(network, inputs, b, n):
    """The whole network at one origin of one sample, through the windows of that origin alone."""
    fused, importance, matrix, _ = plain_fused(network, inputs, b, n)
    if network.across_symbols is not None:
        first = b - b % inputs.symbols
        group = [plain_fused(network, inputs, other, n) for other in range(first, first + inputs.symbols)]
        states, _, _, present = zip(*group, strict=True)
        fused = plain_across_symbols(network.across_symbols, states, present, b - first)
    return *plain_heads(network.heads, fused, inputs.origin[b, n], inputs.base[b, n]), importance, matrix


def plain_fused(network, inputs, b, n):
    """(fused state, importance, A, whether any scale is there) at one origin of one sample."""
    states, masks, rows, present = [], [], [], []
    for j, encoder in enumerate(network.encoders):
        known = int(inputs.aligned[b, n, j])
        first = max(0, known - network.spec.lookbacks[j] + 1)
        x, mask = inputs.rows[j][b : b + 1, first : known + 1], inputs.masks[j][b : b + 1, first : known + 1]
        h = (
            plain_stem(encoder.stem, x, mask)
            if x.shape[1]
            else torch.zeros(1, 1, encoder.norm.normalized_shape[0])
        )
        for layer in encoder.layers if x.shape[1] else []:
            h = h + plain_hierarchy(layer.attention, layer.attention_norm(h), mask)
            h = h + layer.feedforward(layer.feedforward_norm(h))
        states.append(encoder.norm(h)[0])
        masks.append(mask[0])
        rows.append(x.shape[1] - 1)
        present.append(bool(x.shape[1] and mask[0, -1]))
    mixed, matrix, read = plain_cross_attention(network.attention, states, masks, rows, present)
    fused, gate = plain_fusion(network.fusion, mixed, present)
    importance = sum(
        gate[i] * ((1 - read[i]) * torch.eye(len(gate))[i] + read[i] * matrix[i]) for i in range(len(gate))
    )
    return fused, importance, matrix, any(present)
