"""The demo's customers, who go through routines in order and alternate between two brands they like."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import accumulate

from lasar_plugins.dataset.demo.config import DemoConfig
from lasar_plugins.dataset.demo.shop import DEPARTMENTS, STEPS, Shop

MIN_LENGTH = 5
BRAND_SKEW = 0.8
START_SKEW = 0.3


def zipf(count: int, exponent: float) -> list[float]:
    """Cumulative weights of `count` ranks, rank r in proportion to r ** -exponent."""
    return list(accumulate(rank**-exponent for rank in range(1, count + 1)))


class Customer:
    """Buys one item after another.

    The planted structure: the next purchase is the next step of the current department's routine. Its
    brand is that of the last purchase but one, since a customer alternates between two brands of a
    department, unless she tries another one for once; readers of a series stay with its author.
    Direction and alternation are both lost on unordered co-occurrence. Brands and departments are chosen
    by Zipf's law, which makes popularity skewed.
    """

    def __init__(self, config: DemoConfig, shop: Shop, rng: random.Random) -> None:
        self.config, self.shop, self.rng = config, shop, rng
        self.department = -1
        self.enter()

    def enter(self) -> None:
        """Go to another department than the last one, choose two brands, and a step to start at."""
        self.department = self._pick([d for d in range(len(self.shop.stock)) if d != self.department], 0.5)
        brands = list(range(len(self.shop.stock[self.department])))
        first = self._pick(brands, BRAND_SKEW)
        others = [brand for brand in brands if brand != first]
        alternate = others and not DEPARTMENTS[self.department].series
        self.brands = [first, self._pick(others, BRAND_SKEW) if alternate else first]
        self.step = self._pick(range(STEPS - 1), START_SKEW)

    def buy(self) -> int:
        """The next purchase, a row of the item table."""
        if self.rng.random() < self.config.noise:
            return self._impulse()
        if self.step == STEPS or self.rng.random() < self.config.switch:
            self.enter()
        brands = self.shop.stock[self.department]
        brand = self.brands[0]
        if not DEPARTMENTS[self.department].series and self.rng.random() < self.config.curiosity:
            brand = self._pick(range(len(brands)), BRAND_SKEW)
        item = brands[brand][self.step]
        if item < 0:  # the shop's last brand may lack its later steps; a department's first has them all
            item = brands[0][self.step]
        self.step += 1
        self.brands.reverse()
        return item

    def _impulse(self) -> int:
        """An item by popularity alone; it leaves the routine where it was."""
        brands = self.shop.stock[self._pick(range(len(self.shop.stock)), 0.5)]
        sold = [item for item in brands[self._pick(range(len(brands)), BRAND_SKEW)] if item >= 0]
        return self._pick(sold, 0.8)

    def _pick(self, ranked: Sequence[int], exponent: float) -> int:
        """One of `ranked`, the first the likeliest."""
        return self.rng.choices(ranked, cum_weights=zipf(len(ranked), exponent))[0]


def history(config: DemoConfig, shop: Shop, rng: random.Random) -> list[int]:
    """One customer's purchases: at least five, the rest geometrically distributed."""
    customer = Customer(config, shop, rng)
    more = config.mean_length - MIN_LENGTH
    row = [customer.buy() for _ in range(MIN_LENGTH)]
    while rng.random() < more / (more + 1):
        row.append(customer.buy())
    return row
