"""Options of the probe; its data and its teacher must have the same map."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from lasar_kit.spec import ComponentConfig, TeacherConfig


class MapConfig(ComponentConfig):
    """A random map over nodes: all of them on one ring, in random order."""

    nodes: int = Field(
        600,
        ge=10,
        le=100_000,
        description="Nodes of the map; few of them are memorised question by question.",
    )
    seed: int = Field(0, ge=0, description="Seed of the map and of what is held out.")


class HopsConfig(MapConfig):
    """Questions "where do k hops from node s lead?": each a user who bought the question, then the answer."""

    use: str = Field("hops", description="Name of the component.")
    hops: int = Field(6, ge=1, le=9, description="Most hops of a question.")
    held_out: float = Field(
        0.3, gt=0, lt=1, description="Share of questions held out, half for validation and half for test."
    )


class HopsTeacherConfig(MapConfig, TeacherConfig):
    """The nodes on the way, a step each."""

    plain_text: ClassVar[bool] = False  # SIDs, which any backbone of the kit has learnt
