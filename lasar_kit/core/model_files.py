"""Saved models as transformers writes them: whether files, tensors and tokenizer fit each other.

transformers reads what it can, fills the rest at random and builds what is not there, with a log line at
most. Here each such fault is one line that names file and tensor.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from logging import CRITICAL
from pathlib import Path
from typing import Any

from huggingface_hub import try_to_load_from_cache
from safetensors import SafetensorError, safe_open
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.utils import logging

from lasar_kit.errors import UserError
from lasar_kit.process.faults import out_of_memory

CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
TOKENIZER = "tokenizer.json"
VOCABULARIES = (TOKENIZER, "vocab*", "*.model", "*.tiktoken", "tekken.json", "*.gguf")
"""Files that a tokenizer may be read from; without any, transformers builds one that knows nothing."""
ADAPTERS = "adapter_config.json"
POINTER = b"version https://git-lfs.github.com/spec/"
"""Begins what Git LFS leaves in place of a file that was not fetched."""

FLOATS = ("F64", "F32", "F16", "BF16")
QUANTISED = ("qweight", "weight_packed", "weight_scale", "weight_scale_inv", "absmax", "SCB", "scales")
"""Last parts of tensor names in quantised weights (GPTQ, AWQ, compressed tensors, bitsandbytes) alone."""

WRAPPERS = {
    "_orig_mod.": "save the model that was compiled, not the one that torch.compile gave",
    "module.": "save the model, not the distributed wrapper around it",
    "base_model.model.": "merge the adapters into the model, and save that",
}
"""Parts that wrappers put into tensor names, and what to do about them."""


class ModelFiles:
    """The files of a saved model: a folder, or what the hub's cache has of an id and `revision`.

    `place` is where the spec names the model; each `UserError` begins with it.
    """

    def __init__(self, place: str, name: str, revision: str | None = None) -> None:
        self.place, self.name, self.revision = place, name, revision

    @property
    def folder(self) -> Path | None:
        """Where the files stand; None for a model of the hub that was not fetched yet."""
        if Path(self.name).is_dir():
            return Path(self.name)
        try:
            config = try_to_load_from_cache(self.name, CONFIG, revision=self.revision)
        except ValueError:  # no id of the hub
            return None
        return Path(config).parent if isinstance(config, str) else None

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Turn what a library has against these files, an error of any type, into one line; no log."""
        level = logging.get_verbosity()
        logging.set_verbosity(CRITICAL)
        try:
            yield
        except Exception as error:
            if isinstance(error, UserError) or out_of_memory(error):
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            what = "cannot be loaded; a saved model has a config.json, and its weights must be safetensors"
            if not Path(self.name).is_absolute():
                what = "is no folder, and not to be had from the hub; offline, name a saved model's folder"
            raise self._wrong(f"{what} ({reason})") from error
        finally:
            logging.set_verbosity(level)

    def check_vocabulary(self) -> None:
        """`UserError` for a folder that no tokenizer can be read from."""
        folder = Path(self.name)
        if folder.is_dir() and not any(True for name in VOCABULARIES for _ in folder.glob(name)):
            raise self._wrong(f"the folder holds no tokenizer ({TOKENIZER})")

    def load(self, kind: Any, **options: Any) -> tuple[Any, PreTrainedTokenizerBase]:
        """Model of class `kind` and tokenizer, weights from safetensors alone and no code of their own; all
        of `check`, `check_loading` and `check_tokenizer` hold."""
        self.check()
        self.check_vocabulary()
        which = {"revision": self.revision or "main", "trust_remote_code": False}
        with self.reading():
            told = {"output_loading_info": True, "ignore_mismatched_sizes": True, "use_safetensors": True}
            model, info = kind.from_pretrained(self.name, **which, **told, **options)
            tokenizer = AutoTokenizer.from_pretrained(self.name, **which)
        self.check_loading(model, info)
        self.check_tokenizer(tokenizer, model.get_input_embeddings().weight.shape[0])
        return model, tokenizer

    def check(self) -> None:
        """`UserError` for a folder whose files are pointers, cut off, quantised, adapters or not all there.

        Reads json and the headers of safetensors, no weights; of the hub's files nothing, for they are not
        there before they are loaded.
        """
        if self.folder is None or not Path(self.name).is_dir():
            return
        if not (self.folder / CONFIG).is_file() and not [*self.folder.glob("*.gguf")]:
            raise self._wrong(f"is not the folder of a saved model (no {CONFIG})")
        if (self.folder / ADAPTERS).is_file():
            raise self._wrong(f"{ADAPTERS}: these are adapters of another model; merge them and save that")
        for file in (CONFIG, INDEX, TOKENIZER, *self._shards):
            _refuse_pointer(self, self.folder / file)
        self._refuse_quantised(self._json(CONFIG).get("quantization_config"))

    def check_loading(
        self, model: Any, info: Mapping[str, Collection[Any]], unread: tuple[str, ...] = ()
    ) -> None:
        """`UserError` unless every tensor of `model` was read from the files and fits.

        `info` is what `from_pretrained(output_loading_info=True, ignore_mismatched_sizes=True)` tells;
        missing tensors that begin with one of `unread` are no matter.
        """
        tied = _tied(model)  # the copies follow from the first
        missing = sorted(name for name in info["missing_keys"] if not name.startswith((*unread, *tied)))
        if missing:
            hint = _wrapped(missing, sorted(info["unexpected_keys"]))
            raise self._wrong(f"{self._file}: lacks the tensor {missing[0]}{_more(missing)}{hint}")
        if shapes := sorted(info["mismatched_keys"]):
            name, found, wanted = shapes[0]
            raise self._wrong(
                f"{self._place_of(name)}: {name} is {_shape(found)}, where {CONFIG} asks for "
                f"{_shape(wanted)}{_more(shapes)}"
            )
        self._refuse_quantised(getattr(model.config, "quantization_config", None))
        own = {*model.state_dict()}
        if extra := sorted(name for name in info["unexpected_keys"] if _belongs(name, own)):
            raise self._wrong(
                f"{self._place_of(extra[0])}: {extra[0]} has no place in the model that {CONFIG} "
                f"describes{_more(extra)}"
            )
        self._check_tie(model)

    def check_tokenizer(self, tokenizer: PreTrainedTokenizerBase, rows: int) -> None:
        """`UserError` for a tokenizer built of nothing, or with ids beyond the `rows` of the embeddings."""
        if not tokenizer.get_vocab().keys() - tokenizer.get_added_vocab().keys():
            files = sorted({TOKENIZER, *type(tokenizer).vocab_files_names.values()})
            raise self._wrong(f"the tokenizer knows no token; is one of {', '.join(files)} missing?")
        token, last = max(tokenizer.get_vocab().items(), key=lambda entry: entry[1], default=("", -1))
        if last >= rows:
            raise self._wrong(
                f"{TOKENIZER}: the token {token!r} has the id {last}, and the input embeddings in "
                f"{self._file} have {rows} rows"
            )
        give_padding(tokenizer)

    @cached_property
    def tensors(self) -> dict[str, tuple[str, str]]:
        """File and dtype (as safetensors names it) of every tensor, by name."""
        types: dict[str, tuple[str, str]] = {}
        for file in self._shards:
            path = (self.folder or Path()) / file
            try:
                with safe_open(path, "pt") as opened:
                    types |= {name: (file, opened.get_slice(name).get_dtype()) for name in opened.keys()}  # noqa: SIM118
            except FileNotFoundError:
                raise self._wrong(f"{INDEX}: names {file}, which is not there") from None
            except (OSError, SafetensorError) as error:
                raise self._wrong(f"{file}: is cut off, or no safetensors file ({error})") from None
        return types

    @property
    def _shards(self) -> list[str]:
        """Files of weights, in the order of their names."""
        if self.folder and not (self.folder / WEIGHTS).is_file() and (self.folder / INDEX).is_file():
            table = self._json(INDEX).get("weight_map")
            if not isinstance(table, dict) or not all(isinstance(file, str) for file in table.values()):
                raise self._wrong(f"{INDEX}: has no weight_map of tensors to files")
            return sorted({*table.values()})
        return [WEIGHTS] if self.folder and (self.folder / WEIGHTS).is_file() else []

    @property
    def _file(self) -> str:
        """Return a name for all files of weights."""
        return INDEX if len(self._shards) > 1 else WEIGHTS

    def _place_of(self, tensor: str) -> str:
        return self.tensors.get(tensor, (self._file, ""))[0]

    def _json(self, file: str) -> dict[str, Any]:
        assert self.folder is not None
        try:
            table = json.loads((self.folder / file).read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, RecursionError) as error:
            raise self._wrong(f"{file}: is not JSON ({error})") from None
        if not isinstance(table, dict):
            raise self._wrong(f"{file}: expected an object, got {type(table).__name__}")
        return table

    def _refuse_quantised(self, config: Any) -> None:
        """Refuse by the configuration, the name or the type of a tensor."""
        method = config.get("quant_method", "") if isinstance(config, dict) else ""
        odd = next((f"{file}: {name}" for name, (file, kind) in self.tensors.items() if _odd(name, kind)), "")
        if config or odd:
            raise self._wrong(
                f"{odd or CONFIG}: quantised weights{f' ({method})' if method else ''} are not read; take "
                "the model with full weights (a quantised teacher may be served, and asked by `openai`)"
            )

    def _check_tie(self, model: Any) -> None:
        """transformers leaves two matrices apart where a file has both, whatever the configuration says."""
        heads, tied = model.get_output_embeddings(), _tied(model)
        if heads is None or not tied or heads.weight is model.get_input_embeddings().weight:
            return
        pair = " and ".join(sorted({*tied, *tied.values()}))
        raise self._wrong(
            f"{self._file}: {pair} are two matrices, which tie_word_embeddings in {CONFIG} says are one; "
            "set it to false, or leave out the output embeddings"
        )

    def _wrong(self, *words: str) -> UserError:
        return UserError(f"{self.place}: {self.name}: {' '.join(words)}")


def give_padding(tokenizer: Any) -> None:
    """Have a tokenizer that lacks a padding token pad with another: what is padded is masked."""
    if tokenizer.pad_token_id is None:
        marks = (tokenizer.eos_token, tokenizer.bos_token, tokenizer.unk_token)
        tokenizer.pad_token = next(filter(None, marks), None) or tokenizer.convert_ids_to_tokens(0)


def _refuse_pointer(files: ModelFiles, path: Path) -> None:
    try:
        with path.open("rb") as file:
            start = file.read(len(POINTER))
    except OSError:  # told where it is read
        return
    if start == POINTER:
        raise files._wrong(f"{path.name}: is a pointer of Git LFS, not the file itself; run `git lfs pull`")


def _tied(model: Any) -> dict[str, str]:
    """Names of tensors that the configuration says are others, by these."""
    says = getattr(model.config.get_text_config(), "tie_word_embeddings", False)
    return dict(model._tied_weights_keys or {}) if says else {}


def _odd(name: str, kind: str) -> bool:
    """Whether a tensor is part of quantised weights."""
    last = name.rpartition(".")[2]
    return last in QUANTISED or (last == "weight" and kind not in FLOATS)


def _belongs(name: str, own: set[str]) -> bool:
    """Whether a tensor that was not read is of a part that the model has: one layer more, a bias.

    Heads of other tasks and buffers are not.
    """
    owner, _, kind = name.rpartition(".")
    if kind != "weight" and f"{owner}.weight" in own:
        return True
    parts = name.split(".")
    numbered = [n for n, part in enumerate(parts) if part.isdecimal()]
    first = [".".join([*parts[:n], "0", ""]) for n in numbered[:1]]
    this = [".".join([*parts[: n + 1], ""]) for n in numbered[:1]]
    return any(
        any(key.startswith(zero) for key in own) and not any(key.startswith(one) for key in own)
        for zero, one in zip(first, this, strict=True)
    )


def _wrapped(missing: list[str], found: list[str]) -> str:
    """Say what to do where the tensors are there under a wrapper's names."""
    for prefix, advice in WRAPPERS.items():
        for name in found:
            if prefix in name and name.replace(prefix, "") in missing:
                return f"; it has {name}: {advice}"
    return ""


def _shape(size: Any) -> str:
    return " × ".join(map(str, size)) or "a number"


def _more(found: Collection[Any]) -> str:
    return f" (and {len(found) - 1} more)" if len(found) > 1 else ""
