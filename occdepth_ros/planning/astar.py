"""A* on the cells of an occupancy grid (Hart, Nilsson and Raphael, 1968), with clearance to obstacles."""

from __future__ import annotations

import heapq
import math

import cv2
import numpy as np
import numpy.typing as npt

Cell = tuple[int, int]

STEPS = tuple((dx, dy, math.hypot(dx, dy)) for dx in (-1, 0, 1) for dy in (-1, 0, 1) if dx or dy)


def traversable(costs: npt.NDArray[np.int8], clearance: float, lethal: int = 65) -> npt.NDArray[np.bool_]:
    """Return the cells in which a robot of a given radius touches neither a lethal nor an unknown cell.

    Args:
        costs: `[X, Y]`, values of nav_msgs/OccupancyGrid: 0 free to 100 lethal, -1 unknown.
        clearance: radius of the robot, cells.
        lethal: smallest cost that is not entered.

    Returns:
        `[X, Y]` bool.
    """
    blocked = (costs < 0) | (costs >= lethal)
    if not blocked.any():
        return ~blocked
    # distance from each free cell's centre to the nearest blocked cell's border
    distance = cv2.distanceTransform((~blocked).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - 0.5
    return np.asarray(distance >= clearance) & ~blocked


def nearest(cells: npt.NDArray[np.bool_], point: tuple[float, float], radius: float) -> Cell | None:
    """Return the True cell whose centre is nearest to a point, None if there is none within a radius.

    Args:
        cells: `[X, Y]`.
        point, radius: position and distance in cells; cell (0, 0) is centred at (0, 0).
    """
    index = np.argwhere(cells)
    if not len(index):
        return None
    distance = np.hypot(index[:, 0] - point[0], index[:, 1] - point[1])
    best = int(distance.argmin())
    return (int(index[best, 0]), int(index[best, 1])) if distance[best] <= radius else None


def shortest_path(cells: npt.NDArray[np.bool_], start: Cell, goal: Cell) -> list[Cell] | None:
    """Return the shortest 8-connected path over True cells, start and goal included; None if there is none.

    A diagonal step requires both adjacent cells, so that the path does not cut corners.

    Args:
        cells: `[X, Y]`.
        start, goal: indices in it.
    """
    if not cells[start] or not cells[goal]:
        return None
    padded = np.pad(cells, 1)
    width = padded.shape[1]
    free = padded.ravel().tolist()
    source, target = ((x + 1) * width + y + 1 for x, y in (start, goal))
    moves = [(dx * width + dy, dx * width, dy, length) for dx, dy, length in STEPS]
    cost = {source: 0.0}
    parent: dict[int, int] = {}
    closed: set[int] = set()
    queue = [(0.0, source)]
    goal_x, goal_y = divmod(target, width)
    while queue:
        _, cell = heapq.heappop(queue)
        if cell == target:
            return _walk(parent, cell, width)
        if cell in closed:
            continue
        closed.add(cell)
        so_far = cost[cell]
        for step, vertical, horizontal, length in moves:
            to = cell + step
            if not free[to] or (vertical and horizontal and not (free[cell + vertical] and free[cell + horizontal])):
                continue
            total = so_far + length
            if total < cost.get(to, math.inf):
                cost[to] = total
                parent[to] = cell
                x, y = divmod(to, width)
                dx, dy = abs(x - goal_x), abs(y - goal_y)
                heapq.heappush(queue, (total + max(dx, dy) + (math.sqrt(2) - 1) * min(dx, dy), to))
    return None


def _walk(parent: dict[int, int], cell: int, width: int) -> list[Cell]:
    path = [cell]
    while cell in parent:
        cell = parent[cell]
        path.append(cell)
    return [(c // width - 1, c % width - 1) for c in reversed(path)]
