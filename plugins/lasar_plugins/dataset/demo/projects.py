"""The demo's projects: add-ons, a product, and the product that these lead to."""

from __future__ import annotations

import random

from lasar_kit.core.sources.items import ItemText
from lasar_plugins.dataset.demo.shop import DEPARTMENTS, STEPS, Shop

ADD_ONS = ("Refill Pack", "Upgrade Kit")
LINES = ("Basic", "Classic", "Plus", "Premium")
"""In which each add-on is sold; all of them lead the same way."""

MOST = 4
"""Add-ons of a project at most."""

Leaflet = list[list[list[int]]]
"""`leaflet[d][a][s]`: the step of department d that add-on a leads to from step s."""


def leaflet(seed: int) -> Leaflet:
    """Return what the shop's leaflet says: for each department and add-on a random order of the steps."""
    rng = random.Random(f"leaflet {seed}")
    return [[rng.sample(range(STEPS), STEPS) for _ in ADD_ONS] for _ in DEPARTMENTS]


def add_on_items(seed: int) -> list[ItemText]:
    """Return the add-ons, line by line."""
    rng = random.Random(f"add-ons {seed}")
    return [
        ItemText(
            title=f"{line} {name}",
            brand=f"{line} Line",
            categories=f"Add-ons, {name}",
            description=f"{name} of the {line.lower()} line, for any product.",
            price=f"{rng.uniform(4, 30):.2f}",
        )
        for line in LINES
        for name in ADD_ONS
    ]


def project_history(
    shop: Shop, table: Leaflet, first_add_on: int, rng: random.Random
) -> tuple[list[int], tuple[int, int]]:
    """One customer's four to six projects, and where the products begin that the last two lead to.

    A project is one to four add-ons, a product of a department's first brand, and the product of the same
    brand that is reached by following the leaflet from it, the add-on bought last first. No project leads to
    a product that the customer has.
    """
    row: list[int] = []
    ends: list[int] = []
    whole = [d for d, brands in enumerate(shop.stock) if not DEPARTMENTS[d].series and min(brands[0]) >= 0]
    projects = rng.choice((4, 5, 6))
    while len(ends) < projects:
        department, step = rng.choice(whole), rng.randrange(STEPS)
        house = shop.stock[department][0]
        kinds = rng.choices(range(len(ADD_ONS)), k=rng.randint(1, MOST))
        bought = [first_add_on + rng.randrange(len(LINES)) * len(ADD_ONS) + kind for kind in kinds]
        bought.append(house[step])
        for kind in reversed(kinds):
            step = table[department][kind][step]
        if house[step] not in row + bought:
            row += bought
            ends.append(len(row))
            row.append(house[step])
    return row, (ends[-2], ends[-1])
