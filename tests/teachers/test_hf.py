"""The local language model teacher, on a tiny random model."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

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
    model.generation_config.repetition_penalty = 9.0
    model.generation_config.no_repeat_ngram_size = 1
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


def test_thoughts_can_be_switched_off(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    switch = "{% if enable_thinking is defined and not enable_thinking %}</think>{% endif %}"
    (tmp_path / "chat_template.jinja").write_text(CHAT.replace("<assistant>", f"<think>{switch}\n"))
    assert write(tmp_path) == [(0, None), (1, None), (2, None)]
    heard: list[dict[str, float]] = []
    off = {"chat_template_kwargs": {"enable_thinking": False}}
    assert all(text is not None for _, text in write(tmp_path, report=heard.append, **off))
    assert heard[-1]["empty"] == 0
    with pytest.raises(UserError, match=r"chat_template_kwargs: the chat template of .* reads no 'thinking'"):
        write(tmp_path, chat_template_kwargs={"thinking": False})
    with pytest.raises(UserError, match=r"chat_template_kwargs: the missing chat template of .* reads no"):
        write(folder, **off)
    with pytest.raises(ValidationError, match="must not hold 'tokenize'"):
        write(folder, chat_template_kwargs={"tokenize": True})


def test_a_template_without_a_system_role_gets_one_message(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    refusal = "{% if messages[0].role == 'system' %}{{ raise_exception('none') }}{% endif %}"
    (tmp_path / "chat_template.jinja").write_text(refusal + CHAT)
    ((_, text),) = write(tmp_path, REQUESTS[:1], instructions="Say why.")
    _, question = messages(REQUESTS[0], None, show_target=False)
    prompt = f"<user>Say why.\n\n{question}\n<assistant>"
    assert text == finished(greedy(tmp_path, prompt, 12), "strip")
    (tmp_path / "chat_template.jinja").write_text("{{ raise_exception('never') }}")
    with pytest.raises(UserError, match=r"cannot be loaded.*never"):
        write(tmp_path)


def test_empty_answers_cut_off_ones_and_tokens_are_counted(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "chat_template.jinja").write_text(CHAT.replace("<assistant>", "<assistant><think>\n"))
    heard: list[dict[str, float]] = []
    write(tmp_path, report=heard.append, batch_size=2)
    prompts = [messages(request, None, show_target=False) for request in REQUESTS]
    length = sum(
        len(f"<system>{system}\n<user>{question}\n<assistant><think>\n".encode())
        for system, question in prompts
    )
    assert heard[-1] == {
        "done": 3.0,
        "total": 3.0,
        "empty": 3.0,
        "cut_off": 3.0,
        "prompt_tokens": float(length),
        "answer_tokens": 36.0,
    }


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
    with pytest.raises(UserError, match="holds no tokenizer"):
        write(tmp_path)
    assert write(tmp_path, []) == []
