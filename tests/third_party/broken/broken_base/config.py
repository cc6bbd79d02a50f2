from pydantic import BaseModel


class Config(BaseModel):
    """A pydantic model, but not the kit's."""
