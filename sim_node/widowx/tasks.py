"""The WidowX's tasks, of the BridgeV2 kind, as data."""

from __future__ import annotations

from sim_node.goals import put, stack
from sim_node.widowx.kitchen import (
    BASKET,
    CARROT,
    CLOTH,
    CORN,
    EGGPLANT,
    GREEN_BLOCK,
    MUSHROOM,
    PLATE,
    SPOON,
    YELLOW_BLOCK,
)

STOVE = (CARROT, SPOON, PLATE, CLOTH)
BLOCKS = (GREEN_BLOCK, YELLOW_BLOCK, PLATE)
SINK = (EGGPLANT, CARROT, BASKET)
LUNCH = (CORN, MUSHROOM, PLATE)

_TASKS = (
    put(CARROT, "on", PLATE, STOVE),
    put(SPOON, "on", CLOTH, STOVE),
    put(CARROT, "on", CLOTH, STOVE, "unseen"),
    put(SPOON, "on", PLATE, STOVE, "unseen"),
    stack(GREEN_BLOCK, YELLOW_BLOCK, BLOCKS),
    stack(YELLOW_BLOCK, GREEN_BLOCK, BLOCKS, "unseen"),
    put(GREEN_BLOCK, "on", PLATE, BLOCKS),
    put(EGGPLANT, "in", BASKET, SINK),
    put(CARROT, "in", BASKET, SINK),
    put(CORN, "on", PLATE, LUNCH),
    put(MUSHROOM, "on", PLATE, LUNCH),
)
TASKS = {task.instruction: task for task in _TASKS}
"""All tasks by instruction."""
