"""Low-rank adapters on a pretrained model: fresh, restored, merged.

The weights of the base are never written, neither in training nor to save a merged model, so any number of
models that differ in their adapters alone may hold the same tensors.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig as PeftConfig
from peft import get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from peft.functional import cast_adapter_dtype
from peft.tuners.lora import Linear as LoraLinear
from peft.utils.other import TrainableTokensWrapper
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.pytorch_utils import Conv1D

from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.backbone.hf_causal import weights
from lasar_plugins.backbone.hf_causal.config import LoraOptions
from lasar_plugins.backbone.hf_causal.tables import ADAPTER, note_places
from lasar_plugins.backbone.hf_causal.tokenizer import add_vocabulary

FOLDER = "lora"
"""Where in a checkpoint the adapters stand, in peft's own format."""

WEIGHTS = "adapter_model.safetensors"

PREFIX = "base_model.model."
"""The prefix that `peft.PeftModel` puts before the names of a model's weights."""


def adapt(
    model: Any, tokenizer: PreTrainedTokenizerBase, config: LoraOptions, env: Env
) -> PreTrainedTokenizerBase:
    """Freeze the model under the adapters of `env.checkpoint` or, without one, fresh ones.

    Fresh adapters change nothing. The embeddings of the tokens of `env.vocabulary` are trained with them.
    Returns the tokenizer that holds these.
    """
    options = config.model_copy(update={"targets": _targets(model, config)})
    trained: list[int] = []
    if env.checkpoint:
        trained = _stored_tokens(env.checkpoint / FOLDER, options)
        tokenizer = AutoTokenizer.from_pretrained(env.checkpoint)
    added = add_vocabulary(tokenizer, env.vocabulary)
    weights.add_rows(model, [*trained, *added], len(tokenizer), None, env.seed)
    known = tokenizer.get_vocab()
    wanted = {known[token] for token in env.vocabulary} - {*trained}
    _attach(model, options, [*trained, *sorted(wanted)], env.seed)
    if env.checkpoint:
        _restore(model, load_file(env.checkpoint / FOLDER / WEIGHTS))
    return tokenizer


def save(model: Any, directory: Path) -> None:
    """Write the merged model, and the adapters into a folder of their own."""
    _merged(model).save_pretrained(directory)
    (directory / FOLDER).mkdir(exist_ok=True)
    adapters = get_peft_model_state_dict(model, save_embedding_layers=False)
    tensors = {PREFIX + name: tensor.contiguous() for name, tensor in adapters.items()}
    save_file(tensors, directory / FOLDER / WEIGHTS, metadata={"format": "pt"})
    _peft_config(model).save_pretrained(str(directory / FOLDER))


def _peft_config(model: Any) -> PeftConfig:
    config: PeftConfig = model.peft_config[ADAPTER]
    return config


def _targets(model: Any, config: LoraOptions) -> tuple[str, ...]:
    """Names of the linear maps that get an adapter; `UserError` where the model has none of a name."""
    head = model.get_output_embeddings()
    linear = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and module is not head
    }
    wrong = [name for name in config.targets or () if name not in linear]
    if wrong or not linear:
        named = f" (got {', '.join(wrong)})" if wrong else ""
        raise UserError(
            f"backbone.lora.targets: the linear maps of this {model.config.model_type!r} model are "
            f"{', '.join(sorted(linear)) or 'none'}{named}"
        )
    return config.targets or tuple(sorted(linear))


def _stored_tokens(folder: Path, config: LoraOptions) -> list[int]:
    """Tokens whose embeddings a checkpoint trained; `UserError` where its adapters are not as configured."""
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"backbone.lora: the checkpoint {folder.parent} holds no adapters")
    stored: Any = PeftConfig.from_pretrained(str(folder))
    options = {"rank": stored.r, "alpha": stored.lora_alpha, "targets": tuple(sorted(stored.target_modules))}
    assert config.targets is not None
    wanted = {"rank": config.rank, "alpha": config.alpha, "targets": tuple(sorted(config.targets))}
    wrong = [
        f"backbone.lora.{name}: must be {value} as in the checkpoint {folder.parent} (got {wanted[name]})"
        for name, value in options.items()
        if value != wanted[name]
    ]
    if wrong:
        raise UserError(*wrong)
    tokens: list[int] = next(iter((stored.trainable_token_indices or {}).values()), [])
    return tokens


def _attach(model: Any, config: LoraOptions, tokens: list[int], seed: int) -> None:
    """Freeze the model and put adapters on it, initialised by a generator of their own, in float32."""
    assert config.targets is not None
    # Named both, or untied output embeddings would stay as they are; peft shares the rows of tied ones.
    tables = (model.get_input_embeddings(), model.get_output_embeddings())
    named = {table: name.rpartition(".")[2] for name, table in model.named_modules(remove_duplicate=False)}
    rows = {named[table]: tokens for table in tables}
    options = PeftConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]
        lora_dropout=config.dropout,
        target_modules=list(config.targets),
        fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        trainable_token_indices=rows if tokens else None,
        task_type="CAUSAL_LM",
        base_model_name_or_path=model.name_or_path,
    )
    with torch.random.fork_rng(devices=[]):  # peft draws from the global generator
        inject_adapter_in_model(options, model, ADAPTER)
    cast_adapter_dtype(model, ADAPTER)
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if ".lora_A." in name:
            nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)
    for table in (model.get_input_embeddings(), model.get_output_embeddings()):
        if isinstance(table, TrainableTokensWrapper):
            note_places(table)


def _restore(model: Any, stored: dict[str, Tensor]) -> None:
    """Put stored adapters in place; rows of tokens that were added since stay as initialised."""
    tensors = {name.removeprefix(PREFIX): tensor for name, tensor in stored.items()}
    for name, fresh in get_peft_model_state_dict(model, save_embedding_layers=False).items():
        if name.endswith("trainable_tokens_delta") and name in tensors:
            tensors[name] = torch.cat([tensors[name], fresh[len(tensors[name]) :]])
    set_peft_model_state_dict(model, tensors, ADAPTER)


def _merged(model: Any) -> Any:
    """A plain model with the adapters in its weights, to be saved; what has none is shared with `model`."""
    with torch.device("meta"), torch.random.fork_rng(devices=[]):
        plain = type(model)(copy.deepcopy(model.config))
    with torch.no_grad():
        state = {name: _whole(model, *name.rsplit(".", 1)) for name, _ in plain.named_parameters()}
    plain.load_state_dict(state, assign=True, strict=False)  # a tied matrix has one name of its two
    plain.tie_weights()
    plain.generation_config = model.generation_config
    return plain


def _whole(model: nn.Module, owner: str, kind: str) -> Tensor:
    """A weight or bias of one module, with what its adapter adds."""
    module: Any = model.get_submodule(owner)
    if kind == "weight" and isinstance(module, LoraLinear):
        weight: Any = module.get_base_layer().weight
        whole: Tensor = (weight + module.get_delta_weight(ADAPTER)).to(weight.dtype)
        return whole
    if kind == "weight" and isinstance(module, TrainableTokensWrapper):
        merged: Tensor = module.token_adapter.get_merged_weights([ADAPTER])
        return merged
    if isinstance(module, TrainableTokensWrapper):
        module = module.token_adapter.base_layer
    # Detached, for `load_state_dict` would make the very parameters of the frozen base trainable.
    shared: Tensor = getattr(module, kind).detach()
    return shared
