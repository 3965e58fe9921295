"""What stands on the WidowX's table, sized for a hand that opens 54 mm. Long things lie along x."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from sim_node.shapes import Kind, Thing, box, cylinder, rgba, tray

KINDS = {
    "carrot": Kind(0.024, 0.060, 0.013, 0, 0.022, reach=(0.060, 0.026)),
    "corn": Kind(0.030, 0.050, 0.016, 0, 0.030, reach=(0.050, 0.028)),
    "spoon": Kind(0.016, 0.070, 0.012, 0, 0.014, reach=(0.070, 0.030)),
    "eggplant": Kind(0.032, 0.052, 0.017, 0, 0.032, reach=(0.052, 0.029)),
    "mushroom": Kind(0.040, 0.019, 0.028, 0, 0.036),
    "small block": Kind(0.030, 0.022, 0.016, 0, 0.030, near=0.018),
    "small plate": Kind(0.010, 0.060, near=0.045),
    "cloth": Kind(0.006, 0.078, reach=(0.060, 0.050), near=0.042),
    "small basket": Kind(0.044, 0.082, reach=(0.060, 0.060), inside=(0.052, 0.035), release=0.018, clear=0.036),
}
CARROT, SPOON = Thing("carrot", "carrot", "orange"), Thing("spoon", "spoon", "silver")
EGGPLANT, CORN = Thing("eggplant", "eggplant", "aubergine"), Thing("corn", "corn", "yellow")
MUSHROOM = Thing("mushroom", "mushroom", "brown")
GREEN_BLOCK, YELLOW_BLOCK = Thing("green block", "small block", "green"), Thing("yellow block", "small block", "yellow")
PLATE, CLOTH = Thing("plate", "small plate", "white"), Thing("cloth", "cloth", "blue")
BASKET = Thing("basket", "small basket", "wood")

_LEAF = rgba("green") + ' contype="0" conaffinity="0"'


def _carrot(look: str) -> Iterator[str]:
    yield box(".015 .012 .012", "-.030 0 .012", look)
    yield box(".015 .011 .012", "0 0 .012", look)
    yield box(".015 .008 .009", ".030 0 .009", look)
    yield box(".007 .008 .007", "-.052 0 .010", _LEAF)


def _corn(look: str) -> Iterator[str]:
    yield box(".032 .015 .015", "0 0 .015", look)
    yield box(".008 .009 .009", ".040 0 .010", look)
    yield box(".008 .013 .010", "-.040 0 .011", _LEAF)


def _spoon(look: str) -> Iterator[str]:
    yield box(".042 .007 .008", "-.012 0 .008", look)
    yield f'<geom type="cylinder" size=".018 .006" pos=".046 0 .006" density="300" {look}/>'


def _eggplant(look: str) -> Iterator[str]:
    yield box(".024 .016 .016", "-.006 0 .016", look)
    yield box(".012 .012 .013", ".030 0 .013", look)
    yield box(".005 .009 .009", ".047 0 .013", _LEAF)


def _mushroom(look: str) -> Iterator[str]:
    yield cylinder(0.012, 0.009, 0.009, look)
    yield cylinder(0.018, 0.011, 0.029, look)


def _block(look: str) -> Iterator[str]:
    yield box(".015 .015 .015", "0 0 .015", look)


def _plate(look: str) -> Iterator[str]:
    yield cylinder(0.060, 0.005, 0.005, look, 600)


def _cloth(look: str) -> Iterator[str]:
    yield box(".060 .050 .003", "0 0 .003", look, density=600)


def _basket(look: str) -> Iterator[str]:
    return tray(0.057, 0.022, 0.003, look, 500)


GEOMS: dict[str, Callable[[str], Iterator[str]]] = {
    "carrot": _carrot,
    "corn": _corn,
    "spoon": _spoon,
    "eggplant": _eggplant,
    "mushroom": _mushroom,
    "small block": _block,
    "small plate": _plate,
    "cloth": _cloth,
    "small basket": _basket,
}
