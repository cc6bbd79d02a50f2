"""What is asked of a server and what it answers, as JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from lasar_kit.core.item_fields import ItemField

ItemId = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Text = Annotated[str, StringConstraints(max_length=100_000)]
MOST_HISTORIES = 64
MOST_NEW = 1000
MOST_K = 1000
MOST_NAMED = 100_000


class Body(BaseModel):
    """Takes no key that it does not know, and no text for a number."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Condition(Body):
    """What a field of an item must be: all that is given must hold; case does not matter."""

    is_: list[str] | None = Field(
        None, alias="is", max_length=1000, description="The field is one of these texts."
    )
    has: list[str] | None = Field(
        None, max_length=1000, description="One of these texts stands in the field."
    )
    min: float | None = Field(None, allow_inf_nan=False, description="The number in the field is not less.")
    max: float | None = Field(None, allow_inf_nan=False, description="The number in the field is not more.")

    @model_validator(mode="after")
    def _says_something(self) -> Condition:
        if self.is_ is None and self.has is None and self.min is None and self.max is None:
            raise ValueError("give one of is, has, min, max")
        return self


class RecommendBody(Body):
    """Histories, and what their lists may hold: the same for all of them."""

    histories: list[Annotated[list[ItemId], Field(max_length=10_000)]] = Field(
        min_length=1,
        max_length=MOST_HISTORIES,
        description="Raw item ids, oldest first; of long ones the model reads the latest.",
        examples=[[["item-00002", "item-00014"]]],
    )
    k: int = Field(10, ge=1, le=MOST_K, description="Items of a list.")
    exclude_history: bool = Field(False, description="Leave each history's items out of its list.")
    allow: list[ItemId] | None = Field(
        None, max_length=MOST_NAMED, description="The only items that may be listed; all when absent."
    )
    deny: list[ItemId] = Field(default=[], max_length=MOST_NAMED, description="Items that may not be listed.")
    filter: dict[ItemField, Condition] = Field(
        default={}, description="What must hold of each item's fields; all of it."
    )
    depth: Literal["auto"] | Annotated[int, Field(ge=0, le=1000)] = Field(
        "auto",
        description="How many thoughts: as the model's policy chooses, or a number that it could choose.",
    )
    thoughts: bool = Field(False, description="Tell what the model would list after each thought.")
    unknown: Literal["refuse", "skip"] = Field(
        "refuse", description="Ids that the catalogue does not have: an error, or left out and named."
    )


class Listed(BaseModel):
    """An item of a list."""

    item: str
    title: str
    score: float = Field(description="Log-probability.")


class List(BaseModel):
    """What is recommended behind one history, best first: k items wherever as many are allowed."""

    items: list[Listed]
    depth: int = Field(description="Thoughts before the answer.")
    unknown: list[str] = Field(description="Ids of the history that were skipped.")
    thoughts: list[list[Listed]] | None = Field(
        None, description="If asked for: the best items before the first thought, and after each."
    )


class Recommendations(BaseModel):
    """A list for each history, in their order."""

    lists: list[List]
    unknown: list[str] = Field(description="Ids of allow and deny that were skipped.")


class Item(BaseModel):
    """An item of the catalogue."""

    id: str
    sid: list[str] = Field(description="Its semantic ID, token by token.")
    fields: dict[str, str] = Field(description="What the catalogue says of it; nothing that is empty.")
    withdrawn: bool = Field(description="Whether it is listed no more.")


class NewItem(Body):
    """An item that comes later."""

    id: ItemId = Field(description="Its raw id.")
    title: Text = ""
    brand: Text = ""
    categories: Text = ""
    description: Text = ""
    price: Text = ""
    features: Text = ""


class NewItems(Body):
    """Items that come: all of them, or, where any cannot, none."""

    items: list[NewItem] = Field(min_length=1, max_length=MOST_NEW)


class Items(BaseModel):
    """Items of the catalogue, in the order in which they were given."""

    items: list[Item]


class Named(BaseModel):
    """An item and its title."""

    item: str
    title: str


class Found(BaseModel):
    """Items by their titles."""

    items: list[Named]


class Withdrawn(BaseModel):
    """An item that is listed no more."""

    id: str
    withdrawn: bool


class Mistake(BaseModel):
    """What is wrong with a field of a request."""

    field: str
    message: str


class Refusal(BaseModel):
    """Why a request was not answered."""

    errors: list[Mistake]
