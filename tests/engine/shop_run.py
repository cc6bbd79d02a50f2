"""A run on a small shop, for tests to begin."""

from pathlib import Path

from lasar_kit.catalogue import Catalogue
from lasar_kit.run import runner
from lasar_kit.spec import load_spec

SPEC = """
name: small
dataset: {use: demo, users: 80, items: 60}
max_history: 8
backbone: {use: qwen3, hidden_size: 16, layers: 1, heads: 2, text_vocabulary: 300}
prompt: sid_only
decoder: {use: trie_beam, width: 20}
stages:
  tokenize: {use: tokenize, text_encoder: {use: tfidf_svd}, quantizer: {use: rq_kmeans, levels: 3, codes: 8}}
  ground: {use: sft, samples: packed, epochs: 2, eval_users: 20, eval_width: 10, log_every: 1, score: trie}
  evaluate: {use: evaluate, keep: 20}
"""


def run(folder: Path, *overrides: str, use_cache: bool = True, spec: str = SPEC) -> Path:
    (folder.parent / "small.yaml").write_text(spec)
    catalogue = Catalogue.discover()
    loaded = load_spec(folder.parent / "small.yaml", overrides, catalogue)
    runner.run_spec(loaded, catalogue, folder, use_cache)
    return folder
