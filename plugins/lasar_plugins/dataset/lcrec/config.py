"""Options of the `lcrec` data set."""

from __future__ import annotations

from pydantic import Field

from lasar_kit.core.sources.options import ENCODING, CopyOptions, Encoding
from lasar_kit.spec import SpecPath


class LcRecConfig(CopyOptions):
    """A folder of LC-Rec's layout; its sequences are taken in their order."""

    use: str = Field("lcrec", description="Name of the component.")
    path: SpecPath = Field(
        description="Folder with one NAME.inter.json and its NAME.item.json, or the first of these files."
    )
    encoding: Encoding = Field("utf-8", description=ENCODING)
