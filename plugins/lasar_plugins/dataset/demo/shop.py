"""The demo's catalogue: departments of twelve steps each, and brands that sell them."""

from __future__ import annotations

import random
from dataclasses import dataclass

from lasar_kit.core.sources.items import ItemText


@dataclass(frozen=True)
class Department:
    """A routine of twelve product types in the order in which customers go through them."""

    name: str
    steps: tuple[str, ...]
    qualities: tuple[str, ...]
    price: float
    series: bool = False
    """Whether a brand is an author whose steps are the volumes of one series."""


STEPS = 12

# fmt: off
DEPARTMENTS = (
    Department(
        "Skin Care",
        (
            "Makeup Remover", "Cleansing Oil", "Foaming Cleanser", "Clay Mask", "Exfoliating Toner",
            "Hydrating Essence", "Vitamin C Serum", "Eye Cream", "Sheet Mask", "Day Moisturizer",
            "Face Sunscreen", "Lip Balm",
        ),
        ("Green Tea", "Rose Water", "Oat Milk", "Birch Sap", "Sea Kelp", "Calendula", "Rice Bran"),
        14.0,
    ),
    Department(
        "Books",
        tuple(f"Volume {volume}" for volume in range(1, STEPS + 1)),
        ("Fantasy", "Mystery", "Historical Fiction", "Science Fiction", "Adventure", "Crime"),
        9.0,
        series=True,
    ),
    Department(
        "Coffee & Tea",
        (
            "Pour-Over Kettle", "Hand Grinder", "Paper Filters", "Light Roast Beans", "Medium Roast Beans",
            "Dark Roast Beans", "Milk Frother", "Espresso Cups", "Descaling Powder", "Loose Leaf Tea",
            "Tea Infuser", "Honey Sticks",
        ),
        ("Hillside", "Harbor", "Monsoon", "Cedar", "Lakeside", "Market Hall", "Old Mill", "Terrace"),
        18.0,
    ),
    Department(
        "Garden",
        (
            "Seed Starter Tray", "Potting Soil", "Tomato Seeds", "Watering Can", "Plant Labels",
            "Hand Trowel", "Trellis Netting", "Liquid Fertilizer", "Pruning Shears", "Garden Gloves",
            "Harvest Basket", "Mulch Cover",
        ),
        ("Orchard", "Meadow", "Heirloom", "Cottage", "Allotment", "Greenhouse", "Evergreen", "Prairie"),
        12.0,
    ),
    Department(
        "Running",
        (
            "Training Plan Journal", "Cotton Socks", "Road Shoes", "Running Cap", "Water Bottle",
            "Energy Gels", "Trail Shoes", "Compression Sleeves", "Hydration Vest", "Foam Roller",
            "Recovery Sandals", "Medal Hanger",
        ),
        ("Summit", "Tempo", "Featherlight", "Stride", "Ridge Line", "Dawn", "Distance", "Coastal"),
        25.0,
    ),
)

_FIRST = (
    "Alder", "Brook", "Cala", "Dun", "Elm", "Fen", "Glen", "Haven", "Iver", "Juniper", "Kest", "Lark",
    "Marl", "North", "Oriel", "Pine", "Quill", "Rowan", "Sable", "Thorn", "Umber", "Vale", "Wren", "Yarrow",
    "Zephyr", "Ash", "Birk", "Cove", "Drift", "Ember",
)
_LAST = (
    "bridge", "croft", "dale", "ford", "gate", "ham", "holt", "hurst", "kirk", "land", "leigh", "ley",
    "low", "mere", "mont", "more", "ridge", "shaw", "stead", "stone", "ton", "wald", "ward", "water",
    "well", "wick", "wold", "wood", "worth", "field",
)
_GIVEN = ("Ada", "Bruno", "Clara", "Dario", "Edith", "Felix", "Greta", "Hugo", "Ines", "Jonas", "Kaja", "Leo")
_ADJECTIVES = ("Amber", "Broken", "Crimson", "Distant", "Hidden", "Iron", "Last", "Lost", "Silent", "Winter")
_NOUNS = ("Coast", "Crown", "Garden", "Harbor", "Lantern", "Library", "Mountain", "Orchard", "River", "Tower")
# fmt: on


@dataclass(frozen=True)
class Shop:
    """`stock[d][b][s]` is the item of step s by brand b of department d, or -1 where the brand has none."""

    stock: list[list[list[int]]]
    items: list[ItemText]


def open_shop(items: int, rng: random.Random) -> Shop:
    """A shop of `items` items: one whole brand a department after another, the last one cut short."""
    words = [first + last for first in _FIRST for last in _LAST]
    rng.shuffle(words)
    stock: list[list[list[int]]] = [[] for _ in DEPARTMENTS]
    text: list[ItemText] = []
    while len(text) < items:
        word = words.pop()
        place = min(range(len(DEPARTMENTS)), key=lambda d: len(stock[d]))
        line = brand_line(DEPARTMENTS[place], word, rng)[: items - len(text)]
        rows = list(range(len(text), len(text) + len(line)))
        stock[place].append(rows + [-1] * (STEPS - len(rows)))
        text.extend(line)
    return Shop(stock, text)


def brand_line(department: Department, word: str, rng: random.Random) -> list[ItemText]:
    """The twelve items of one brand, in the order of the routine."""
    quality = rng.choice(department.qualities)
    level = rng.uniform(0.7, 1.8)
    brand, prefix = word, f"{word} {quality} "
    if department.series:
        brand = f"{rng.choice(_GIVEN)} {word}"
        prefix = f"The {rng.choice(_ADJECTIVES)} {rng.choice(_NOUNS)} of {word}, "
    line = []
    for step, kind in enumerate(department.steps):
        cents = round(100 * department.price * level * rng.uniform(0.8, 1.25))
        group = quality if department.series else kind
        line.append(
            ItemText(
                title=prefix + kind,
                brand=brand,
                categories=f"{department.name}, {group}",
                description=_description(department, step, brand, quality),
                price=f"{cents / 100:.2f}",
            )
        )
    return line


def _description(department: Department, step: int, brand: str, quality: str) -> str:
    kind = department.steps[step].lower()
    if department.series:
        return f"{quality} by {brand}: {kind} of a series of {STEPS}."
    before = f" Follows the {department.steps[step - 1].lower()}." if step else ""
    return f"{quality} {kind} by {brand}, step {step + 1} of the {department.name.lower()} range.{before}"
