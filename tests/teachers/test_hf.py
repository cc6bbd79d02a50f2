"""The local language model teacher, on a tiny random model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lasar_kit.core.reasoning import ReasoningItem, ReasoningRequest
from lasar_kit.core.reasoning.answer import finished
from lasar_kit.core.reasoning.prompt import messages
from lasar_kit.core.values import Env
from lasar_kit.errors import UserError
from lasar_plugins.teacher.hf.config import HfTeacherConfig
from lasar_plugins.teacher.hf.teacher import HfTeacher

TARGET = ReasoningItem("Rose Toner")
REQUESTS = [
    ReasoningRequest("a", 1, (ReasoningItem("soap"),), TARGET),
    ReasoningRequest(
        "b", 3, tuple(ReasoningItem(t, "Alba", "Bath", "3") for t in ("oil", "gel", "mud")), TARGET
    ),
    ReasoningRequest("c", 2, (ReasoningItem("gel"), ReasoningItem("mask")), TARGET),
]
CHAT = (
    "{% for message in messages %}<{{ message.role }}>{{ message.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A saved model whose generation settings ask for sampling, which the teacher must not take over."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from tokenizers.decoders import ByteLevel
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {sign: n for n, sign in enumerate([*alphabet, "<end>"])}
    bytes_only = Tokenizer(models.BPE(vocabulary, []))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_only, eos_token="<end>")
    config = Qwen3Config(
        vocab_size=len(vocabulary), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=16, max_position_embeddings=2048,
        eos_token_id=vocabulary["<end>"], initializer_range=0.3,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = Qwen3ForCausalLM(config)
    model.generation_config.do_sample = True
    model.generation_config.temperature = 5.0
    path = tmp_path_factory.mktemp("model")
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


def write(
    folder: Path, requests=REQUESTS, report=lambda numbers: None, **options
) -> list[tuple[int, str | None]]:
    config = HfTeacherConfig(use="hf", model=folder, **{"max_new_tokens": 12, **options})
    return list(HfTeacher(config, Env(report=report)).write(requests))


@torch.inference_mode()
def greedy(folder: Path, prompt: str, count: int) -> str:
    """The most probable continuation, one whole forward pass a token, nothing cached or padded."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModelForCausalLM.from_pretrained(folder)
    ids = tokenizer(prompt)["input_ids"]
    start = len(ids)
    for _ in range(count):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            break
    return tokenizer.decode(ids[start:], skip_special_tokens=True)


def test_texts_are_the_greedy_continuations(folder: Path) -> None:
    heard: list[dict[str, float]] = []
    answers = write(folder, report=heard.append, batch_size=2)
    assert [index for index, _ in answers] == [0, 1, 2]
    for request, (_, text) in zip(REQUESTS, answers, strict=True):
        system, question = messages(request, None, show_target=False)
        prompt = f"{system}\n\n{question}\n\nStep 1:"
        assert text == finished("Step 1:" + greedy(folder, prompt, 12), "strip")
    assert len({text for _, text in answers}) == 3
    assert [numbers["done"] for numbers in heard] == [2.0, 3.0]


def test_a_chat_template_is_followed(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "chat_template.jinja").write_text(CHAT)
    ((_, text),) = write(tmp_path, REQUESTS[:1], instructions="Say why.")
    _, question = messages(REQUESTS[0], None, show_target=False)
    prompt = f"<system>Say why.\n<user>{question}\n<assistant>"
    assert text == finished(greedy(tmp_path, prompt, 12), "strip")


def test_a_text_that_never_leaves_its_thoughts_is_none(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "chat_template.jinja").write_text(CHAT.replace("<assistant>", "<assistant><think>\n"))
    assert write(tmp_path) == [(0, None), (1, None), (2, None)]


def test_the_target_is_hidden_unless_it_is_to_be_shown(folder: Path) -> None:
    class Spy:
        chat_template = None

    shown = HfTeacher(HfTeacherConfig(use="hf", model=folder, show_target=True), Env())
    hidden = HfTeacher(HfTeacherConfig(use="hf", model=folder), Env())
    assert "Rose Toner" in shown._prompt(Spy(), REQUESTS[0])
    assert "Rose Toner" not in hidden._prompt(Spy(), REQUESTS[0])
    assert (shown.wants_target, hidden.wants_target) == (True, False)


def test_a_prompt_too_long_for_the_model(folder: Path) -> None:
    with pytest.raises(UserError, match=r"max_new_tokens 2000 exceed the 2048 positions"):
        write(folder, max_new_tokens=2000)


def test_a_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not the folder of a saved model \(no config.json\)"):
        write(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "qwen3"}')
    with pytest.raises(UserError, match="cannot be loaded"):
        write(tmp_path)
    assert write(tmp_path, []) == []
