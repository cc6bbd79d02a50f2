"""Options of the `lcrec` data set."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.spec import ComponentConfig, SpecPath


class LcRecConfig(ComponentConfig):
    """A folder of LC-Rec's layout; its sequences are taken as they stand."""

    use: str = Field("lcrec", description="Name of the component.")
    path: SpecPath = Field(description="Folder with one NAME.inter.json and its NAME.item.json.")
