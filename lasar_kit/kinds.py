"""The kinds of components."""

KINDS = (
    "dataset",
    "text_encoder",
    "quantizer",
    "backbone",
    "prompt",
    "latent_loop",
    "depth_policy",
    "aligner",
    "sft_objective",
    "rl_objective",
    "decoder",
    "stage",
    "teacher",
    "segmenter",
    "reward",
    "ranker",
    "hook",
)
"""Every kind a component may be of, in the order of listings."""
