"""Attention across scales at each origin, compiled: forward and gradient.

Shapes: B batch, N origins, S scales, T rows of all scales, D width, H heads, E = D / H, K keys of a scale (in
fours). Key k of scale j at an origin is k rows before the row of j that is known there. A head's rows are
turned to [E, origins], each row standing at every origin that knows it. Where the known row moves on every m
origins, as on a clock, key k is the same array k m origins earlier; else keys are written out, four at a
time, for a block of origins.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from polyscale.model.kernels.vector import OPTIONS, add_four_products, add_product, exp32

_LONGEST_PERIOD = 64


@njit(**OPTIONS)
def key_offsets(valid, starts, rows, present, spans, offsets):
    """Fill ``offsets`` [B, S, K, N]: -log of a scale's keys at an origin, -inf for a key that is not there.

    ``valid`` [B, T]; ``starts`` [S + 1] where the rows of each scale begin and end; ``rows`` [B, N, S] of the
    scale itself, below 0 where none is known; ``present`` [B, N, S] whether it takes part; ``spans`` [S].
    """
    for j in range(offsets.shape[1]):
        mask = valid[:, starts[j] : starts[j + 1]]
        for b in range(offsets.shape[0]):
            for n in range(offsets.shape[3]):
                row = rows[b, n, j] if present[b, n, j] else -1
                found = 0
                for k in range(min(spans[j], row + 1)):
                    found += mask[b, row - k]
                shared = np.float32(-np.log(max(found, 1)))
                for k in range(offsets.shape[2]):
                    there = k < min(spans[j], row + 1) and mask[b, row - k]
                    offsets[b, j, k, n] = shared if there else np.float32(-np.inf)


@njit(**OPTIONS)
def forward(queries, keys_values, starts, offsets, rows, bias, heads, first, last, context, weights):
    """Fill ``context`` [B, N, S, D] and ``weights`` [B, H, blocks, S, S, K, block] for the jobs first..last.

    A job is a sample and a head. ``queries`` [B, T, D], scaled already, and ``keys_values`` [B, T, 2D] hold
    the rows of all scales, those of scale j from ``starts[j]`` to ``starts[j + 1]``; ``bias`` [H, S, S, K]. The
    weights are over the keys of all scales together; zeros where an origin has no key at all.
    """
    width, num_scales, num_origins = queries.shape[2], rows.shape[2], rows.shape[1]
    size = width // heads
    block = weights.shape[6]
    asked = np.zeros((num_scales, _rounded(size), block), np.float32)
    turned = np.zeros(asked.shape, np.float32)
    for job in range(first, last):
        b, h = job // heads, job % heads
        periods, leads, keys = _room(rows[b], weights.shape[5], block, size)
        values = np.zeros(keys.shape, np.float32)
        for j in range(num_scales):
            sources = keys_values[b, starts[j] : starts[j + 1]]
            _spread(sources, rows[b, :, j], periods[j], leads[j], h * size, size, keys[j])
            _spread(sources, rows[b, :, j], periods[j], leads[j], width + h * size, size, values[j])
        for begin in range(0, num_origins, block):
            stop = min(num_origins, begin + block)
            scores = weights[b, h, begin // block]
            for i in range(num_scales):
                _take(queries[b, starts[i] : starts[i + 1]], rows[b, begin:stop, i], h * size, size, asked[i])
            for j in range(num_scales):
                sources, known = keys_values[b, starts[j] : starts[j + 1]], rows[b, begin:stop, j]
                for four in range(0, scores.shape[2], 4):
                    at = _columns(
                        sources, known, periods[j], leads[j], four, begin, block, h * size, size, keys[j]
                    )
                    for k in range(4):
                        offset = offsets[b, j, four + k, begin:stop]
                        for i in range(num_scales):
                            row = scores[i, j, four + k, : stop - begin]
                            added = bias[h, i, j, four + k]
                            for n in range(len(row)):
                                row[n] = offset[n] + added
                            _add_dots(asked[i], keys[j], at[k], row)
            _softmax(scores, stop - begin)
            turned[:] = 0
            for j in range(num_scales):
                sources, known = keys_values[b, starts[j] : starts[j + 1]], rows[b, begin:stop, j]
                for four in range(0, scores.shape[2], 4):
                    at = _columns(
                        sources,
                        known,
                        periods[j],
                        leads[j],
                        four,
                        begin,
                        block,
                        width + h * size,
                        size,
                        values[j],
                    )
                    for i in range(num_scales):
                        _weigh_four(scores, i, j, four, stop - begin, values[j], at, turned[i])
            for i in range(num_scales):
                _put(turned[i], h * size, size, context[b, begin:stop, i])


@njit(**OPTIONS)
def backward(
    queries,
    keys_values,
    starts,
    rows,
    weights,
    heads,
    first,
    last,
    d_context,
    d_across,
    d_queries,
    d_keys_values,
    d_bias,
):
    """Add the gradients of the jobs first..last.

    ``d_across`` [B, S, S, N] is that of the weights of each head, summed over K; ``d_bias`` [B, H, S, S, K]
    is per sample.
    """
    width, num_scales, num_origins = queries.shape[2], rows.shape[2], rows.shape[1]
    size = width // heads
    block = weights.shape[6]
    asked = np.zeros((num_scales, _rounded(size), block), np.float32)
    given, turned = np.zeros(asked.shape, np.float32), np.zeros(asked.shape, np.float32)
    grad = np.zeros(weights.shape[3:], np.float32)
    for job in range(first, last):
        b, h = job // heads, job % heads
        periods, leads, keys = _room(rows[b], weights.shape[5], block, size)
        values = np.zeros(keys.shape, np.float32)
        d_keys, d_values = np.zeros(keys.shape, np.float32), np.zeros(keys.shape, np.float32)
        for j in range(num_scales):
            sources = keys_values[b, starts[j] : starts[j + 1]]
            _spread(sources, rows[b, :, j], periods[j], leads[j], h * size, size, keys[j])
            _spread(sources, rows[b, :, j], periods[j], leads[j], width + h * size, size, values[j])
        for begin in range(0, num_origins, block):
            stop = min(num_origins, begin + block)
            length = stop - begin
            p = weights[b, h, begin // block]
            for i in range(num_scales):
                _take(queries[b, starts[i] : starts[i + 1]], rows[b, begin:stop, i], h * size, size, asked[i])
                _turn(d_context[b, begin:stop, i], h * size, size, given[i])
            for j in range(num_scales):
                sources, known, into = (
                    keys_values[b, starts[j] : starts[j + 1]],
                    rows[b, begin:stop, j],
                    d_keys_values[b, starts[j] : starts[j + 1]],
                )
                for four in range(0, p.shape[2], 4):
                    at = _columns(
                        sources,
                        known,
                        periods[j],
                        leads[j],
                        four,
                        begin,
                        block,
                        width + h * size,
                        size,
                        values[j],
                    )
                    for k in range(4):
                        for i in range(num_scales):
                            row, more = grad[i, j, four + k, :length], d_across[b, i, j, begin:stop]
                            for n in range(length):
                                row[n] = more[n]
                            _add_dots(given[i], values[j], at[k], row)
                        _add_products(p, j, four + k, given, length, d_values[j], at[k])
                    if periods[j] == 0:
                        _return_columns(known, four, block, width + h * size, size, d_values[j], into)
            _softmax_gradient(p, grad, length, d_bias[b, h])
            turned[:] = 0
            for j in range(num_scales):
                sources, known, into = (
                    keys_values[b, starts[j] : starts[j + 1]],
                    rows[b, begin:stop, j],
                    d_keys_values[b, starts[j] : starts[j + 1]],
                )
                for four in range(0, p.shape[2], 4):
                    at = _columns(
                        sources, known, periods[j], leads[j], four, begin, block, h * size, size, keys[j]
                    )
                    for i in range(num_scales):
                        _weigh_four(grad, i, j, four, length, keys[j], at, turned[i])
                    for k in range(4):
                        _add_products(grad, j, four + k, asked, length, d_keys[j], at[k])
                    if periods[j] == 0:
                        _return_columns(known, four, block, h * size, size, d_keys[j], into)
            for i in range(num_scales):
                _return(
                    turned[i], rows[b, begin:stop, i], h * size, size, d_queries[b, starts[i] : starts[i + 1]]
                )
        for j in range(num_scales):
            if periods[j] > 0:
                into = d_keys_values[b, starts[j] : starts[j + 1]]
                _return_spread(rows[b, :, j], periods[j], leads[j], h * size, size, d_keys[j], into)
                _return_spread(rows[b, :, j], periods[j], leads[j], width + h * size, size, d_values[j], into)


@njit(**OPTIONS)
def _period(known):
    """Origins after which the known row always moves on by one; 0 where it moves otherwise, or too seldom."""
    length = len(known)
    changes, first, last, period = 0, 0, 0, 0
    for n in range(1, length):
        step = known[n] - known[n - 1]
        if step == 0:
            continue
        changes += 1
        if changes == 1:
            first = n
        elif changes == 2:
            period = n - last
        if step != 1 or (changes > 2 and n - last != period):
            return 0
        last = n
    regular = changes >= 2 and first <= period and length - last <= period <= _LONGEST_PERIOD
    return period if regular and known[0] >= 0 else 0


@njit(**OPTIONS)
def _rounded(size):
    return (size + 3) // 4 * 4


@njit(**OPTIONS)
def _room(rows, num_keys, block, size):
    """Periods and leads of the scales, and zeros [S, E, columns] for their rows at every origin.

    A lead is the columns before the first origin. The number of columns is kept from being a multiple of the
    caches' pages, where all rows of a column would share few places.
    """
    num_origins, num_scales = rows.shape
    periods = np.zeros(num_scales, np.int64)
    for j in range(num_scales):
        periods[j] = _period(rows[:, j])
    leads = (num_keys - 1) * periods
    columns = max(num_origins + leads.max(), 4 * block)
    columns = ((columns + 15) // 16 | 1) * 16
    return periods, leads, np.zeros((num_scales, _rounded(size), columns), np.float32)


@njit(**OPTIONS)
def _turn(rows, start, size, out):
    """A head's part of rows [N, D] as out[E, N]."""
    for n0 in range(0, len(rows), 16):
        part = rows[n0 : n0 + 16, start : start + size]
        for e in range(size):
            row = out[e, n0 : n0 + len(part)]
            for n in range(len(part)):
                row[n] = part[n, e]


@njit(**OPTIONS)
def _put(turned, start, size, out):
    """The reverse of `_turn`."""
    for n0 in range(0, len(out), 16):
        part = out[n0 : n0 + 16, start : start + size]
        for e in range(size):
            row = turned[e, n0 : n0 + len(part)]
            for n in range(len(part)):
                part[n, e] = row[n]


@njit(**OPTIONS)
def _take(values, known, start, size, out):
    """out[:, n] = a head's part of the known row, zero where there is none."""
    for n in range(len(known)):
        row = known[n]
        part = values[max(row, 0), start : start + size]
        for e in range(size):
            out[e, n] = part[e] if row >= 0 else np.float32(0.0)


@njit(**OPTIONS)
def _return(gradient, known, start, size, out):
    """The adjoint of `_take`."""
    for n in range(len(known)):
        if known[n] >= 0:
            part = out[known[n], start : start + size]
            for e in range(size):
                part[e] += gradient[e, n]


@njit(**OPTIONS)
def _known_at(known, period, n):
    """The known row, also before the first origin."""
    back = max(0, (period - 1 - n) // period)
    return known[n + back * period] - back


@njit(**OPTIONS)
def _spread(values, known, period, lead, start, size, out):
    """With a period: rows at every origin, and before the first."""
    if period == 0:
        return
    for n in range(-lead, len(known)):
        row = _known_at(known, period, n)
        if row >= 0:
            part, column = values[row, start : start + size], lead + n
            for e in range(size):
                out[e, column] = part[e]


@njit(**OPTIONS)
def _return_spread(known, period, lead, start, size, gradient, out):
    """The adjoint of `_spread`."""
    for n in range(-lead, len(known)):
        row = _known_at(known, period, n)
        if row >= 0:
            part, column = out[row, start : start + size], lead + n
            for e in range(size):
                part[e] += gradient[e, column]


@njit(**OPTIONS)
def _columns(values, known, period, lead, four, begin, block, start, size, out):
    """Where in ``out`` four keys of a block begin; without a period they are written there first."""
    if period > 0:
        at = lead + begin - four * period
        return at, at - period, at - 2 * period, at - 3 * period
    first = 0
    while first < len(known):
        last = _end_of_run(known, first)
        for k in range(4):
            row = known[first] - four - k
            for e in range(size):
                target = out[e, k * block + first : k * block + last]
                target[:] = values[row, start + e] if row >= 0 else np.float32(0.0)
        first = last
    return 0, block, 2 * block, 3 * block


@njit(**OPTIONS)
def _return_columns(known, four, block, start, size, gradient, out):
    """The adjoint of `_columns` without a period; leaves zeros for the next four keys."""
    first = 0
    while first < len(known):
        last = _end_of_run(known, first)
        for k in range(4):
            row = known[first] - four - k
            if row >= 0:
                for e in range(size):
                    out[row, start + e] += gradient[e, k * block + first : k * block + last].sum()
        first = last
    gradient[:, : 4 * block] = 0


@njit(**OPTIONS)
def _end_of_run(known, first):
    last = first + 1
    while last < len(known) and known[last] == known[first]:
        last += 1
    return last


@njit(**OPTIONS)
def _add_dots(left, right, at, out):
    """out[n] += left[:, n] . right[:, at + n]."""
    length = len(out)
    end = at + length
    for e in range(0, len(left), 4):
        add_four_products(
            out,
            left[e, :length],
            right[e, at:end],
            left[e + 1, :length],
            right[e + 1, at:end],
            left[e + 2, :length],
            right[e + 2, at:end],
            left[e + 3, :length],
            right[e + 3, at:end],
        )


@njit(**OPTIONS)
def _weigh_four(weights, i, j, k, length, values, at, out):
    """out[:, n] += sum over keys k..k + 3 of weights[i, j, k, n] x values[:, at[k] + n]."""
    for e in range(len(out)):
        add_four_products(
            out[e, :length],
            weights[i, j, k, :length],
            values[e, at[0] : at[0] + length],
            weights[i, j, k + 1, :length],
            values[e, at[1] : at[1] + length],
            weights[i, j, k + 2, :length],
            values[e, at[2] : at[2] + length],
            weights[i, j, k + 3, :length],
            values[e, at[3] : at[3] + length],
        )


@njit(**OPTIONS)
def _add_products(weights, j, k, values, length, out, at):
    """out[:, at + n] += sum over scales i of weights[i, j, k, n] x values[i, :, n]."""
    fours = len(values) // 4 * 4
    for e in range(len(out)):
        target = out[e, at : at + length]
        for i in range(0, fours, 4):
            add_four_products(
                target,
                weights[i, j, k, :length],
                values[i, e, :length],
                weights[i + 1, j, k, :length],
                values[i + 1, e, :length],
                weights[i + 2, j, k, :length],
                values[i + 2, e, :length],
                weights[i + 3, j, k, :length],
                values[i + 3, e, :length],
            )
        for i in range(fours, len(values)):
            add_product(target, weights[i, j, k, :length], values[i, e, :length])


@njit(**OPTIONS)
def _softmax(scores, length):
    """Softmax [S, S, K, N] over the second and third axis, in place; zeros where no key is."""
    num_scales, num_keys = scores.shape[0], scores.shape[2]
    highest, total = np.empty(length, np.float32), np.empty(length, np.float32)
    for i in range(num_scales):
        highest[:] = np.float32(-1e30)  # not -inf, for -inf - (-inf) has no value
        total[:] = 0
        for j in range(num_scales):
            for k in range(num_keys):
                row = scores[i, j, k, :length]
                for n in range(length):
                    highest[n] = max(highest[n], row[n])
        for j in range(num_scales):
            for k in range(num_keys):
                _exponentials(scores[i, j, k, :length], highest, total)
        for n in range(length):
            total[n] = np.float32(1.0) / total[n] if total[n] > 0 else np.float32(0.0)
        for j in range(num_scales):
            for k in range(num_keys):
                row = scores[i, j, k, :length]
                for n in range(length):
                    row[n] *= total[n]


@njit(**OPTIONS)
def _exponentials(row, highest, total):
    for n in range(len(row)):
        weight = exp32(row[n] - highest[n]) if row[n] > -np.inf else np.float32(0.0)
        row[n] = weight
        total[n] += weight


@njit(**OPTIONS)
def _softmax_gradient(weights, grad, length, d_bias):
    """Turn the gradient of the weights into that of the scores, in place, and add its sums over origins."""
    num_scales, num_keys = weights.shape[0], weights.shape[2]
    total = np.empty(length, np.float32)
    for i in range(num_scales):
        total[:] = 0
        for j in range(num_scales):
            for k in range(num_keys):
                row, weight = grad[i, j, k, :length], weights[i, j, k, :length]
                for n in range(length):
                    row[n] *= weight[n]
                    total[n] += row[n]
        for j in range(num_scales):
            for k in range(num_keys):
                row, weight = grad[i, j, k, :length], weights[i, j, k, :length]
                sums = np.float32(0.0)
                for n in range(length):
                    row[n] -= weight[n] * total[n]
                    sums += row[n]
                d_bias[i, j, k] += sums
