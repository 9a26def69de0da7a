"""Compiled loops of semi-global matching, see `semi_global`.

Costs and sums of paths are int16. Their innermost axis is the disparity d, counted from the lowest one. Its length is
`GROUP` times the length of the argument `groups`, a tuple, so that the compiler knows it: only then it fills the vector
registers. Arrays of paths have `EDGE` more elements at both ends; those beside the disparities are at least `NO_PATH`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from occdepth_ros.compiled import compiled, inlined

GROUP = 16
"""Divisor of the number of disparities."""
EDGE = 16
"""Elements in front of and behind the disparities of a path."""
NO_PATH = 12000
"""Larger than the sum of any path."""
RADIUS = 2
"""Half of the edge of the window whose costs are summed, without its centre."""
ROWS = 2 * RADIUS + 1
STEPS = 16
"""Fixed-point steps per pixel of disparity."""
SHARE = 90
"""Sum of the best disparity in per cent of the smallest sum that another one, but its neighbours, may have."""
LARGEST = 32767


@compiled
def write_between(samples: Any, channel: int) -> None:
    """Write the smallest and the largest value within half a pixel of each pixel into the next two channels.

    Args:
        samples: `[H, channels, W]` uint8.
        channel: channel of the values.
    """
    last = samples.shape[2] - 1
    for y in range(len(samples)):
        row, least, most = samples[y, channel], samples[y, channel + 1], samples[y, channel + 2]
        for x in range(1, last):
            before = np.uint8((np.int16(row[x]) + np.int16(row[x - 1])) >> 1)
            after = np.uint8((np.int16(row[x]) + np.int16(row[x + 1])) >> 1)
            least[x] = min(row[x], min(before, after))
            most[x] = max(row[x], max(before, after))
        for x, beside in ((0, 1), (last, last - 1)):
            between = np.uint8((np.int16(row[x]) + np.int16(row[beside])) >> 1)
            least[x], most[x] = min(row[x], between), max(row[x], between)


@compiled
def match_rows(
    groups: Any,
    left: Any,
    right: Any,
    begin: int,
    start: int,
    stop: int,
    lowest: int,
    small: Any,
    large: Any,
    costs: Any,
    window: Any,
    box: Any,
    summed: Any,
    from_left: Any,
    from_right: Any,
    beside: Any,
    above: Any,
    above_least: Any,
    least: Any,
    best: Any,
    near: Any,
    other: Any,
    other_sum: Any,
    out: Any,
) -> None:
    """Match the rows from `start` to `stop`.

    Args:
        groups: see above.
        left, right: slope, its smallest and largest value within half a pixel, and the same of the grey values,
            `[H, 6, W]` uint8; those of the right image are mirrored.
        begin: row with which the paths from above begin.
        lowest: lowest disparity, pixels.
        small, large: cost of a change of the disparity by one pixel, and by more.
        costs: costs of the pixels of the last rows, `[ROWS, W', D]` uint8; W' columns see all disparities.
        window, summed: their sums over these rows, and over the window, `[W', D]`.
        box: `[D]`.
        from_left, from_right: sums of the horizontal paths, `[W', D]`; the first is overwritten by all sums.
        beside: `[4, D + 2 EDGE]`.
        above: sums of the paths from above of the last two rows, `[2, W', D + 2 EDGE]`.
        above_least: their smallest values, `[W']`.
        least, best, near: smallest sum, its disparity, and the number of disparities with a similar sum, `[W']`.
        other, other_sum: disparity of the pixels of the right image, and its sum, `[W]`.
        out: disparity in `STEPS`, `[H, W]`; initially one pixel below the lowest.
    """
    count = GROUP * len(groups)
    first, mirror = max(lowest + count, 0), left.shape[2] - 1 + lowest
    costs[:] = 0
    window[:] = 0
    above_least[:] = 0
    above[0, :, EDGE : EDGE + count] = 0
    for y in range(begin, stop):
        for ahead in range(-RADIUS if y == begin else RADIUS, RADIUS + 1):
            row = min(max(y + ahead, begin), len(left) - 1)
            newest = costs[(y + ahead + ROWS) % ROWS]
            _add_costs(groups, first, mirror, left[row], right[row], newest, window)
        _sum_windows(groups, window, box, summed)
        last = (y - begin) % 2
        _descend(groups, summed, above[last], above[1 - last], above_least, small, large)
        if y >= start:
            _go_aside(groups, summed, beside, from_left, from_right, small, large)
            _add_paths(groups, from_left, from_right, above[1 - last], least)
            _find_best(groups, from_left, least, best, near)
            _write_row(groups, first, lowest, from_left, least, best, near, other, other_sum, out[y])


@compiled
def _add_costs(groups: Any, first: int, mirror: int, left: Any, right: Any, newest: Any, window: Any) -> None:
    """Replace the costs of the oldest row by those of a new one (Birchfield and Tomasi, 1998)."""
    count = GROUP * len(groups)
    fresh = np.empty(count, np.int16)
    for i in range(len(newest)):
        x = first + i
        u, u_low, u_high, g, g_low, g_high = left[0, x], left[1, x], left[2, x], left[3, x], left[4, x], left[5, x]
        v, v_low, v_high = right[0, mirror - x :], right[1, mirror - x :], right[2, mirror - x :]
        h, h_low, h_high = right[3, mirror - x :], right[4, mirror - x :], right[5, mirror - x :]
        costs, sums = newest[i], window[i]
        # in several loops, because each can be vectorized only if few arrays might overlap
        for d in range(count):
            fresh[d] = _distance(u, u_low, u_high, v[d], v_low[d], v_high[d])
        for d in range(count):
            fresh[d] = np.int16(fresh[d] + (_distance(g, g_low, g_high, h[d], h_low[d], h_high[d]) >> 2))
        for d in range(count):
            sums[d] = np.int16(np.int16(sums[d] + fresh[d]) - np.int16(costs[d]))
            costs[d] = np.uint8(fresh[d])


@inlined
def _distance(u: Any, u_low: Any, u_high: Any, v: Any, v_low: Any, v_high: Any) -> Any:
    """Return the smallest difference of two samples within half a pixel of either."""
    here = max(np.int16(u - v_high), np.int16(v_low - u))
    there = max(np.int16(v - u_high), np.int16(u_low - v))
    return max(np.int16(0), min(here, there))


@compiled
def _sum_windows(groups: Any, window: Any, box: Any, out: Any) -> None:
    """Sum the columns of the windows; columns beyond the first and the last one are equal to these."""
    count, last = GROUP * len(groups), len(window) - 1
    for d in range(count):
        box[d] = np.int16(window[0, d] * (RADIUS + 1))
    for x in range(1, RADIUS + 1):
        for d in range(count):
            box[d] = np.int16(box[d] + window[min(x, last), d])
    out[0, :count] = box
    for x in range(1, last + 1):
        entering, leaving, sums = window[min(x + RADIUS, last)], window[max(x - RADIUS - 1, 0)], out[x]
        for d in range(count):
            value = np.int16(np.int16(box[d] + entering[d]) - leaving[d])
            box[d] = value
            sums[d] = value


@inlined
def _continued(groups: Any, costs: Any, before: Any, after: Any, least: Any, small: Any, large: Any) -> Any:
    """Continue a path by one pixel; `least` is the smallest value of `before`, that of `after` is returned."""
    jumped = np.int16(least + large)
    smallest = np.int16(LARGEST)
    for d in range(GROUP * len(groups)):
        lower, upper, same = before[EDGE - 1 + d], before[EDGE + 1 + d], before[EDGE + d]
        value = lower if lower < upper else upper
        value = np.int16(value + small)
        value = same if same < value else value
        value = jumped if jumped < value else value
        value = np.int16(np.int16(costs[d] + value) - least)
        after[EDGE + d] = value
        smallest = value if value < smallest else smallest
    return smallest


@inlined
def _copied(groups: Any, costs: Any, before: Any, after: Any, out: Any, least: Any, small: Any, large: Any) -> Any:
    """`_continued` with a copy without `EDGE` in `out`."""
    least = _continued(groups, costs, before, after, least, small, large)
    for d in range(GROUP * len(groups)):
        out[d] = after[EDGE + d]
    return least


@compiled
def _descend(groups: Any, costs: Any, before: Any, after: Any, least: Any, small: Any, large: Any) -> None:
    for x in range(len(costs)):
        least[x] = _continued(groups, costs[x], before[x], after[x], least[x], small, large)


@compiled
def _go_aside(groups: Any, costs: Any, beside: Any, from_left: Any, from_right: Any, small: Any, large: Any) -> None:
    """Follow both horizontal paths at once: each step waits for the one before it."""
    count, width = GROUP * len(groups), len(costs)
    left, right = np.int16(0), np.int16(0)
    a, b, c, d = beside[0], beside[1], beside[2], beside[3]
    a[EDGE : EDGE + count] = 0
    c[EDGE : EDGE + count] = 0
    for x in range(0, width - 1, 2):
        y = width - 1 - x
        left = _copied(groups, costs[x], a, b, from_left[x], left, small, large)
        right = _copied(groups, costs[y], c, d, from_right[y], right, small, large)
        left = _copied(groups, costs[x + 1], b, a, from_left[x + 1], left, small, large)
        right = _copied(groups, costs[y - 1], d, c, from_right[y - 1], right, small, large)
    if width % 2:
        _copied(groups, costs[width - 1], a, b, from_left[width - 1], left, small, large)
        _copied(groups, costs[0], c, d, from_right[0], right, small, large)


@compiled
def _add_paths(groups: Any, sums: Any, from_right: Any, above: Any, least: Any) -> None:
    for x in range(len(sums)):
        of_pixel, right, top = sums[x], from_right[x], above[x]
        smallest = np.int16(LARGEST)
        for d in range(GROUP * len(groups)):
            value = np.int16(np.int16(of_pixel[d] + right[d]) + top[EDGE + d])
            of_pixel[d] = value
            smallest = value if value < smallest else smallest
        least[x] = smallest


@compiled
def _find_best(groups: Any, sums: Any, least: Any, best: Any, near: Any) -> None:
    """Write the first disparity with the smallest sum, and the number of disparities with a similar one."""
    count = GROUP * len(groups)
    backwards = np.arange(count, 0, -1).astype(np.int16)
    for x in range(len(sums)):
        of_pixel, above, distinct = sums[x], np.int16(least[x] + 1), np.int16(_similar(least[x]) + 1)
        found, number = np.int16(0), np.int16(0)
        for d in range(count):
            # the sign of a difference, and the largest value: what the compiler turns into vector instructions
            at = np.int16(np.int16(np.int16(of_pixel[d] - above) >> 15) & backwards[d])
            found = at if at > found else found
            number = np.int16(number - np.int16(np.int16(of_pixel[d] - distinct) >> 15))
        best[x], near[x] = count - found, number


@compiled
def _similar(least: Any) -> Any:
    """Return the largest sum that is not distinct from the smallest one."""
    return np.int16(np.int32(least) * np.int32(100) // np.int32(SHARE))


@compiled
def _write_row(
    groups: Any,
    first: int,
    lowest: int,
    sums: Any,
    least: Any,
    best: Any,
    near: Any,
    other: Any,
    other_sum: Any,
    out: Any,
) -> None:
    """Write the disparities of a row that are distinct, and agree with those of the right image."""
    count, size = GROUP * len(groups), len(out)
    none = np.int16((lowest - 1) * STEPS)
    other[:] = none
    other_sum[:] = LARGEST
    for i in range(len(sums) - 1, -1, -1):
        at, of_pixel, similar = np.int32(best[i]), sums[i], _similar(least[i])
        here = np.int32(of_pixel[at])
        before, after = np.int32(of_pixel[max(at - 1, 0)]), np.int32(of_pixel[min(at + 1, count - 1)])
        inside = 0 < at < count - 1
        beside = (at > 0 and before <= similar) + (at < count - 1 and after <= similar)
        if near[i] > 1 + beside:
            continue
        x = first + i
        shown = x - at - lowest
        if 0 <= shown < size and other_sum[shown] > least[i]:
            other_sum[shown], other[shown] = least[i], at + lowest
        fine = np.int32(0)
        if inside:
            # vertex of a parabola, rounded
            curvature = max(before + after - 2 * here, np.int32(1))
            slope = np.int32((before - after) * STEPS + curvature)
            fine = np.int32(np.float64(slope) / np.float64(2 * curvature))
        out[x] = np.int16((at + lowest) * STEPS + fine)
    for x in range(first, first + len(sums)):
        value = out[x]
        if value != none and _differs(x, value >> 4, lowest, other) and _differs(x, value + 15 >> 4, lowest, other):
            out[x] = none


@compiled
def _differs(x: Any, disparity: Any, lowest: int, other: Any) -> Any:
    """Whether the pixel of the right image that a pixel with this disparity shows has another one."""
    shown = x - disparity
    return 0 <= shown < len(other) and other[shown] >= lowest and abs(other[shown] - disparity) > 1
