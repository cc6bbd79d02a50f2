"""A small catalogue that needs no plugin, and a folder of specs that are loaded by it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import Field, JsonValue

from lasar_kit.catalogue.registry import Entry
from lasar_kit.errors import UserError, nearest
from lasar_kit.spec import (
    ComponentConfig,
    DecoderConfig,
    LoadedSpec,
    SpecModel,
    SpecPath,
    StageConfig,
    component,
    load_spec,
)


class Demo(ComponentConfig):
    items: int = Field(10, ge=1, description="How many items.")
    ids: tuple[str, ...] = ()


class Files(ComponentConfig):
    path: SpecPath = Field(description="A folder.")
    extra: tuple[SpecPath, ...] = ()


class Plain(ComponentConfig):
    rate: float | None = Field(None, gt=0, le=1, description="A rate.")


class Beam(DecoderConfig):
    score: str = "vocabulary"


class Optimizer(SpecModel):
    lr: float = Field(1e-3, gt=0, description="Peak learning rate.")
    clip: float | None = Field(1.0, gt=0)


class Tokenize(StageConfig):
    consumes: ClassVar[tuple[str, ...]] = ("dataset",)
    produces: ClassVar[str] = "sids"
    quantizer: Annotated[ComponentConfig, component("quantizer")] = Field("kmeans", validate_default=True)
    others: tuple[Annotated[ComponentConfig, component("quantizer")], ...] = ()
    maybe: Annotated[ComponentConfig | None, component("quantizer")] = None


class Kmeans(ComponentConfig):
    levels: int = Field(3, ge=1, description="Levels.")
    balanced: bool = False


class Inner(SpecModel):
    size: int | None = 3


class Nulls(ComponentConfig):
    """Every way to take null and have another default."""

    text: str | None = "x"
    choice: Literal["a", None] = "a"
    number: Annotated[int | None, Field(ge=1)] = 2
    named: JsonValue = 1
    inner: Inner = Field(default_factory=Inner)
    branch: bool | Inner | None = True
    part: Annotated[ComponentConfig | None, component("quantizer")] = Field("kmeans", validate_default=True)
    rates: dict[str, float | None] = Field(default_factory=dict)
    free: dict[str, Any] = Field(default_factory=dict)
    made: tuple[int, ...] | None = Field(default_factory=lambda: (1, 2))
    count: int = 4


class Train(StageConfig):
    consumes: ClassVar[tuple[str, ...]] = ("dataset", "sids")
    accepts: ClassVar[tuple[str, ...]] = ("checkpoint",)
    produces: ClassVar[str] = "checkpoint"
    epochs: int = Field(1, ge=1)
    optimizer: Optimizer = Field(default_factory=Optimizer)


class Report(StageConfig):
    consumes: ClassVar[tuple[str, ...]] = ("dataset", "sids", "checkpoint")
    produces: ClassVar[str] = "report"


CONFIGS: dict[str, dict[str, type[ComponentConfig]]] = {
    "dataset": {"demo": Demo, "files": Files},
    "backbone": {"qwen3": Plain, "gpt2": Plain},
    "prompt": {"minionerec": Plain},
    "decoder": {"trie_beam": Beam},
    "quantizer": {"kmeans": Kmeans, "plain": Plain, "nulls": Nulls},
    "stage": {"tokenize": Tokenize, "train": Train, "report": Report},
}


class FakeCatalogue:
    def config_class(self, kind: str, name: str) -> type[ComponentConfig]:
        known = CONFIGS[kind]
        if name not in known:
            raise UserError(f"unknown {kind} {name!r}; {nearest(name, known)}")
        return known[name]

    def entries(self, kind: str | None = None) -> list[Entry]:
        return [
            Entry(k, name, f"The {name}.", "test", "a:B", "a:C")
            for k, names in CONFIGS.items()
            for name in sorted(names)
            if kind in (None, k)
        ]


@pytest.fixture
def catalogue() -> FakeCatalogue:
    return FakeCatalogue()


STAGES = "stages:\n  tokenize: tokenize\n  ground: {use: train, optimizer: {lr: 5e-4}}\n  report: report\n"


class Folder:
    """Writes specs into the current folder and loads them."""

    def __init__(self, catalogue: FakeCatalogue) -> None:
        self.catalogue: Any = catalogue

    def load(self, *overrides: str, **files: str) -> LoadedSpec:
        for name, text in files.items():
            Path(f"{name}.yaml").write_text(text)
        return load_spec(Path("spec.yaml"), overrides, self.catalogue)

    def mistakes(self, *overrides: str, **files: str) -> list[str]:
        with pytest.raises(UserError) as caught:
            self.load(*overrides, **files)
        return list(caught.value.lines)


@pytest.fixture
def folder(catalogue: FakeCatalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.chdir(tmp_path)
    return Folder(catalogue)


def options(config: ComponentConfig) -> dict[str, Any]:
    return config.model_dump()
