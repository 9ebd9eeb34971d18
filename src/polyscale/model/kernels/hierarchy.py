"""Attention of rows over means of their past, compiled: forward and gradient.

Shapes: B batch, Q query rows, T key rows (the last Q of them are the queries'), D width, H heads, E = D / H,
L levels, K keys of a query. Key k of level l is the mean of 2^l rows, so many rows back that the levels lie
end to end; see `polyscale.model.hierarchy`. A head's arrays are turned to [E, rows], so that every key of a
level is the same array at another shift, and sums of 2^l rows come from sums of 2^(l-1) by one addition.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from polyscale.model.kernels.vector import OPTIONS, add_four_products, add_product, exp32

_BLOCK = 512  # query rows at a time: what they touch stays in the second cache


@njit(**OPTIONS)
def forward(query, key_value, mask, bias, slots, heads, first, last, context, weights):
    """Fill ``context`` [B, Q, D] and ``weights`` [B, H, K, Q] of the jobs (sample, head) first..last.

    ``query`` [B, Q, D] is scaled already; ``key_value`` [B, T, 2D]; ``mask`` [B, T]; ``bias`` [H, K];
    ``slots`` [L] keys of each level.
    """
    num_rows, num_queries, width = key_value.shape[1], query.shape[1], query.shape[2]
    size = width // heads
    pad, columns = _columns(num_rows, num_queries, slots)
    inverse = np.empty((len(slots), columns), np.float32)
    for job in range(first, last):
        b, h = job // heads, job % heads
        _inverse_counts(mask[b], pad, inverse)
        scores = weights[b, h]
        queries = _turned(query[b], h * size, size, 0)
        sums = _turned(key_value[b], h * size, size, pad)
        _clear(sums, mask[b], pad)
        _scores(queries, sums, inverse, bias[h], slots, scores)
        _softmax(scores)
        sums = _turned(key_value[b], width + h * size, size, pad)
        _clear(sums, mask[b], pad)
        turned = np.zeros((len(queries), num_queries), np.float32)
        _weigh(scores, sums, inverse, slots, turned)
        _turn_back(turned, context[b], h * size, size, 0)


@njit(**OPTIONS)
def backward(
    query, key_value, mask, slots, heads, first, last, weights, d_context, d_query, d_key_value, d_bias
):
    """Fill the gradients of the jobs first..last; ``d_bias`` [B, H, K] is per sample."""
    num_rows, num_queries, width = key_value.shape[1], query.shape[1], query.shape[2]
    size = width // heads
    pad, columns = _columns(num_rows, num_queries, slots)
    inverse = np.empty((len(slots), columns), np.float32)
    for job in range(first, last):
        b, h = job // heads, job % heads
        _inverse_counts(mask[b], pad, inverse)
        p = weights[b, h]
        queries = _turned(query[b], h * size, size, 0)
        d_turned = _turned(d_context[b], h * size, size, 0)
        d_scores = np.empty(p.shape, np.float32)
        sums = _turned(key_value[b], width + h * size, size, pad)
        _clear(sums, mask[b], pad)
        _scores(d_turned, sums, inverse, np.zeros(len(p), np.float32), slots, d_scores)
        _softmax_gradient(p, d_scores, d_bias[b, h])
        sums = _turned(key_value[b], h * size, size, pad)
        _clear(sums, mask[b], pad)
        d_queries = np.zeros(queries.shape, np.float32)
        _weigh(d_scores, sums, inverse, slots, d_queries)
        _turn_back(d_queries, d_query[b], h * size, size, 0)
        _spread(d_scores, queries, inverse, slots, pad, d_key_value[b], h * size, size)
        _spread(p, d_turned, inverse, slots, pad, d_key_value[b], width + h * size, size)
        for t in range(num_rows):
            if not mask[b, t]:
                d_key_value[b, t, h * size : (h + 1) * size] = 0
                d_key_value[b, t, width + h * size : width + (h + 1) * size] = 0


@njit(**OPTIONS)
def _columns(num_rows, num_queries, slots):
    """Columns put before the first row, so that every key of the first query exists, and columns in all."""
    reach = -1
    for level in range(len(slots)):
        reach += slots[level] << level
    pad = max(0, reach - (num_rows - num_queries))
    return pad, pad + num_rows


@njit(**OPTIONS)
def _inverse_counts(mask, pad, inverse):
    """1 / rows that are there among the 2^l up to each column; 0 where none is."""
    columns = inverse.shape[1]
    counts, longer = np.zeros(columns, np.float32), np.empty(columns, np.float32)
    for t in range(len(mask)):
        counts[pad + t] = mask[t]
    for level in range(len(inverse)):
        if level > 0:
            _double_row(counts, longer, 1 << (level - 1))
            counts, longer = longer, counts
        row = inverse[level]
        for t in range(columns):
            row[t] = np.float32(1.0) / counts[t] if counts[t] > 0 else np.float32(0.0)


@njit(**OPTIONS)
def _turned(rows, start, size, pad):
    """A head's part [T, E] as [E, pad + T], E filled up to whole fours with zeros."""
    out = np.zeros(((size + 3) // 4 * 4, pad + len(rows)), np.float32)
    for t0 in range(0, len(rows), 64):
        part = rows[t0 : t0 + 64, start : start + size]
        into = out[:, pad + t0 :]
        for e in range(size):
            row = into[e]
            for t in range(len(part)):
                row[t] = part[t, e]
    return out


@njit(**OPTIONS)
def _turn_back(turned, rows, start, size, pad):
    for t0 in range(0, len(rows), 64):
        part = rows[t0 : t0 + 64, start : start + size]
        source = turned[:, pad + t0 :]
        for e in range(size):
            row = source[e]
            for t in range(len(part)):
                part[t, e] = row[t]


@njit(**OPTIONS)
def _clear(turned, mask, pad):
    """Zeros where a row is missing."""
    for t in range(len(mask)):
        if not mask[t]:
            turned[:, pad + t] = 0


@njit(**OPTIONS)
def _double_row(source, target, half):
    """Sums of 2 half rows from sums of half rows."""
    for t in range(min(half, len(source))):
        target[t] = source[t]
    later, earlier, into = source[half:], source[: max(len(source) - half, 0)], target[half:]
    for t in range(len(into)):
        into[t] = later[t] + earlier[t]


@njit(**OPTIONS)
def _double(sums, half):
    out = np.empty(sums.shape, np.float32)
    for e in range(len(sums)):
        _double_row(sums[e], out[e], half)
    return out


@njit(**OPTIONS)
def _scores(queries, sums, inverse, bias, slots, scores):
    """scores[k, q] = queries[:, q] . mean of key k + bias[k]; -inf where the key is missing."""
    num_queries = queries.shape[1]
    key, ends = 0, sums.shape[1] - num_queries
    for level in range(len(slots)):
        if level > 0:
            sums = _double(sums, 1 << (level - 1))
        for begin in range(0, num_queries, _BLOCK):
            stop = min(num_queries, begin + _BLOCK)
            for slot in range(slots[level]):
                shift = ends - (slot << level)
                row = scores[key + slot, begin:stop]
                row[:] = 0
                for e in range(0, len(queries), 4):
                    add_four_products(
                        row,
                        queries[e, begin:stop],
                        sums[e, shift + begin : shift + stop],
                        queries[e + 1, begin:stop],
                        sums[e + 1, shift + begin : shift + stop],
                        queries[e + 2, begin:stop],
                        sums[e + 2, shift + begin : shift + stop],
                        queries[e + 3, begin:stop],
                        sums[e + 3, shift + begin : shift + stop],
                    )
                _finish_scores(row, inverse[level, shift + begin : shift + stop], bias[key + slot])
        key += slots[level]
        ends -= slots[level] << level


@njit(**OPTIONS)
def _finish_scores(row, inverse, bias):
    for t in range(len(row)):
        row[t] = row[t] * inverse[t] + bias if inverse[t] > 0 else np.float32(-np.inf)


@njit(**OPTIONS)
def _softmax(scores):
    """Softmax over keys, per query; zeros where there is no key."""
    num_queries = scores.shape[1]
    top, total = np.empty(_BLOCK, np.float32), np.empty(_BLOCK, np.float32)
    for begin in range(0, num_queries, _BLOCK):
        stop = min(num_queries, begin + _BLOCK)
        highest, sums = top[: stop - begin], total[: stop - begin]
        highest[:] = np.float32(-1e30)  # not -inf, for -inf - (-inf) has no value
        sums[:] = 0
        for key in range(len(scores)):
            row = scores[key, begin:stop]
            for t in range(len(row)):
                highest[t] = max(highest[t], row[t])
        for key in range(len(scores)):
            row = scores[key, begin:stop]
            for t in range(len(row)):
                weight = exp32(row[t] - highest[t]) if row[t] > -np.inf else np.float32(0.0)
                row[t] = weight
                sums[t] += weight
        for t in range(len(sums)):
            sums[t] = np.float32(1.0) / sums[t] if sums[t] > 0 else np.float32(0.0)
        for key in range(len(scores)):
            row = scores[key, begin:stop]
            for t in range(len(row)):
                row[t] *= sums[t]


@njit(**OPTIONS)
def _softmax_gradient(weights, d_scores, d_bias):
    """Turn the gradient of the weights (-inf where a key is missing) into that of the scores, in place."""
    num_queries = weights.shape[1]
    total = np.empty(_BLOCK, np.float32)
    d_bias[:] = 0
    for begin in range(0, num_queries, _BLOCK):
        stop = min(num_queries, begin + _BLOCK)
        sums = total[: stop - begin]
        sums[:] = 0
        for key in range(len(weights)):
            row, gradient = weights[key, begin:stop], d_scores[key, begin:stop]
            for t in range(len(row)):
                gradient[t] = row[t] * gradient[t] if row[t] > 0 else np.float32(0.0)
                sums[t] += gradient[t]
        for key in range(len(weights)):
            row, gradient = weights[key, begin:stop], d_scores[key, begin:stop]
            for t in range(len(row)):
                gradient[t] -= row[t] * sums[t]
            d_bias[key] += gradient.sum()


@njit(**OPTIONS)
def _weigh(weights, sums, inverse, slots, out):
    """out[:, q] += sum over keys of weights[k, q] x mean of key k."""
    num_queries = out.shape[1]
    key, ends = 0, sums.shape[1] - num_queries
    scaled = np.empty((4, _BLOCK), np.float32)
    for level in range(len(slots)):
        if level > 0:
            sums = _double(sums, 1 << (level - 1))
        for begin in range(0, num_queries, _BLOCK):
            stop = min(num_queries, begin + _BLOCK)
            length = stop - begin
            for slot in range(0, slots[level], 4):
                shift = ends + begin - (slot << level)
                many = min(4, slots[level] - slot)
                for j in range(many):
                    at = shift - (j << level)
                    scaled[j, :length] = 0
                    add_product(
                        scaled[j, :length],
                        weights[key + slot + j, begin:stop],
                        inverse[level, at : at + length],
                    )
                if many == 4:
                    one, two, three = shift - (1 << level), shift - (2 << level), shift - (3 << level)
                    for e in range(len(out)):
                        add_four_products(
                            out[e, begin:stop],
                            scaled[0, :length],
                            sums[e, shift : shift + length],
                            scaled[1, :length],
                            sums[e, one : one + length],
                            scaled[2, :length],
                            sums[e, two : two + length],
                            scaled[3, :length],
                            sums[e, three : three + length],
                        )
                else:
                    for j in range(many):
                        at = shift - (j << level)
                        for e in range(len(out)):
                            add_product(out[e, begin:stop], scaled[j, :length], sums[e, at : at + length])
        key += slots[level]
        ends -= slots[level] << level


@njit(**OPTIONS)
def _spread(weights, values, inverse, slots, pad, out, start, size):
    """The adjoint of `_weigh`: out[row] = sum, over keys that hold the row, of weight / count x values."""
    num_queries, columns = values.shape[1], inverse.shape[1]
    num_keys, reach = 0, 0
    for level in range(len(slots)):
        num_keys += slots[level]
        reach += slots[level] << level
    key, ends = num_keys, columns - num_queries - reach
    gradient = np.zeros((len(values), columns), np.float32)
    scaled = np.empty(_BLOCK, np.float32)
    for level in range(len(slots) - 1, -1, -1):
        key -= slots[level]
        ends += slots[level] << level
        for begin in range(0, num_queries, _BLOCK):
            stop = min(num_queries, begin + _BLOCK)
            for slot in range(slots[level]):
                at = ends + begin - (slot << level)
                part = scaled[: stop - begin]
                part[:] = 0
                add_product(part, weights[key + slot, begin:stop], inverse[level, at : at + stop - begin])
                for e in range(len(values)):
                    add_product(gradient[e, at : at + stop - begin], part, values[e, begin:stop])
        if level > 0:
            gradient = _halve(gradient, 1 << (level - 1))
    _turn_back(gradient, out, start, size, pad)


@njit(**OPTIONS)
def _halve(gradient, half):
    """The adjoint of `_double`."""
    out = gradient.copy()
    length = gradient.shape[1] - half
    for e in range(len(gradient)):
        row, later = out[e, : max(length, 0)], gradient[e, half:]
        for t in range(len(row)):
            row[t] += later[t]
    return out


@njit(**OPTIONS)
def newest(query, key_value, mask, at, bias, slots, first, last, context):
    """Attention of one row per sample whose past, itself included, lies in a ring; samples first..last.

    ``query`` [B, 1, D] is scaled already; ``key_value`` [B, R, 2D], ``mask`` [B, R]; ``at`` is the place of
    the oldest row; ``context`` [B, 1, D] is filled.
    """
    width, num_rows, (heads, num_keys) = query.shape[2], key_value.shape[1], bias.shape
    size = width // heads
    means = np.empty((num_keys, 2 * width), np.float32)
    there = np.empty(num_keys, np.bool_)
    scores = np.empty(num_keys, np.float32)
    for b in range(first, last):
        _ring_means(key_value[b], mask[b], at % num_rows, slots, means, there)
        asked, out = query[b, 0], context[b, 0]
        for h in range(heads):
            start = h * size
            highest, total = np.float32(-1e30), np.float32(0.0)
            for k in range(num_keys):
                row, score = means[k, start : start + size], bias[h, k]
                part = asked[start : start + size]
                for e in range(size):
                    score += part[e] * row[e]
                scores[k] = score if there[k] else np.float32(-np.inf)
                highest = max(highest, scores[k])
            for k in range(num_keys):
                scores[k] = exp32(scores[k] - highest) if there[k] else np.float32(0.0)
                total += scores[k]
            scale = np.float32(1.0) / total if total > 0 else np.float32(0.0)
            result = out[start : start + size]
            result[:] = 0
            for k in range(num_keys):
                row, weight = means[k, width + start : width + start + size], scores[k] * scale
                for e in range(size):
                    result[e] += weight * row[e]


@njit(**OPTIONS)
def _ring_means(rows, mask, at, slots, means, there):
    """Means of the rows of every key, newest first."""
    key, place = 0, at
    for level in range(len(slots)):
        for _ in range(slots[level]):
            mean = means[key]
            mean[:] = 0
            count = 0
            for _ in range(1 << level):
                place = place - 1 if place > 0 else len(rows) - 1
                if mask[place]:
                    count += 1
                    row = rows[place]
                    for c in range(len(mean)):
                        mean[c] += row[c]
            there[key] = count > 0
            if count > 1:
                scale = np.float32(1.0) / np.float32(count)
                for c in range(len(mean)):
                    mean[c] *= scale
            key += 1
