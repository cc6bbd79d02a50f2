"""Options of the `demo` data set."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from lasar_kit.spec import ComponentConfig, TeacherConfig


class DemoConfig(ComponentConfig):
    """A generated shop and its customers; the same options give the same data on every machine."""

    use: str = Field("demo", description="Name of the component.")
    users: int = Field(2000, ge=1, le=1_000_000, description="Number of customers.")
    items: int = Field(500, ge=60, le=10_000, description="Number of items in the shop.")
    seed: int = Field(0, ge=0, description="Seed of catalogue and purchases.")
    mean_length: float = Field(
        10.0, ge=5, le=50, description="Mean number of purchases of a customer; each has at least five."
    )
    noise: float = Field(
        0.15, ge=0, le=1, description="Share of purchases that follow popularity instead of the routine."
    )
    switch: float = Field(
        0.08, ge=0, le=1, description="Probability that a customer moves on to another department."
    )
    curiosity: float = Field(
        0.5, ge=0, le=1, description="Probability that a purchase is of another brand than the usual two."
    )
    projects: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of customers who do projects: add-ons, a product, then what these lead to.",
    )

    @model_validator(mode="after")
    def _room_for_add_ons(self) -> Self:
        # Eight add-ons, beside a whole brand in each of the five departments.
        if self.projects and self.items < 68:
            raise ValueError(f"a shop with projects has at least 68 items, items is {self.items}")
        return self


class DemoTeacherConfig(TeacherConfig):
    """Where a project leads, a step for each add-on."""

    seed: int = Field(0, ge=0, description="Seed of the data set, whose leaflet the teacher has read.")
    otherwise: str | None = Field(
        None, min_length=1, description="Text about histories that lead nowhere; these have none when absent."
    )
