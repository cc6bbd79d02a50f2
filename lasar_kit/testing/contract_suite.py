"""The one test that `pytest --lasar-plugin` runs, once a check."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lasar_kit.testing.parametrize import BoundCheck


def test_contract(lasar_check: BoundCheck) -> None:
    lasar_check()
