"""The wrong lines of built-in components that the laws have to catch."""

from __future__ import annotations

from tests.contracts.wrong_line import WrongLine

GRPO = ("rl_objective", "grpo", "lasar_plugins.rl_objective.grpo.objective:Grpo")
REINFORCE = ("rl_objective", "reinforce", "lasar_plugins.rl_objective.reinforce.objective:Reinforce")
NDCG = ("reward", "ndcg", "lasar_plugins.reward.standard.ndcg:NdcgReward")
PREFIX = ("reward", "prefix", "lasar_plugins.reward.standard.prefix:PrefixReward")
RULE = ("reward", "rule", "lasar_plugins.reward.standard.rule:RuleReward")
KMEANS = ("quantizer", "rq_kmeans", "lasar_plugins.quantizer.rq_kmeans.quantizer:RqKmeans")
COMPANY = (
    "text_encoder",
    "cooccurrence",
    "lasar_plugins.text_encoder.cooccurrence.encoder:CooccurrenceEncoder",
)
WORDS = ("text_encoder", "tfidf_svd", "lasar_plugins.text_encoder.tfidf_svd.encoder:TfidfSvdEncoder")
MLP = ("depth_policy", "mlp", "lasar_plugins.depth_policy.mlp.policy:DepthMlp")
STEPWISE = ("aligner", "stepwise", "lasar_plugins.aligner.standard.aligners:Stepwise")
COCONUT = ("latent_loop", "coconut", "lasar_plugins.latent_loop.coconut.thoughts:ThoughtLoop")
COCONUT_LOOP = "lasar_plugins.latent_loop.coconut.loop:CoconutLoop"
HALTING = ("latent_loop", "halting", "lasar_plugins.latent_loop.coconut.halting:HaltingLoop")
BEAM = ("decoder", "trie_beam", "lasar_plugins.decoder.trie.decoder:TrieBeam")
TEMPLATE = ("prompt", "template", "lasar_plugins.prompt.standard.templates:TemplatePrompt")
SMALL = {"levels": 3, "codes": [2, 3, 4]}
TEXT = {"text": "Bought {history}, now "}

WRONG_LINES = [
    WrongLine(
        "halting_tells_what_was_asked",
        *HALTING,
        "self.told(trace, trace.mask.sum(-1))",
        "self.told(trace, depth)",
        "mask_counts_the_depth",
        {"threshold": 1e9},
    ),
    WrongLine(
        "halting_again",
        *HALTING,
        "self.told(self.loop.run(backbone, prompt, depth, steps), depth)",
        "self.told(self.loop.run(backbone, prompt, depth.clamp_max(1), steps), depth)",
        "halted_stops_where_it_is_told",
    ),
    WrongLine(
        "halting_by_another_branch",
        *HALTING,
        "settled = self.apart(backbone, *states) < self.config.threshold",
        "settled = (self.apart(backbone, *states) < self.config.threshold).any(-1, keepdim=True)",
        "a_branch_alone_is_the_branch_in_any_batch",
        {"threshold": 0.05},
    ),
    WrongLine(
        "larger_of_both", *GRPO, "torch.minimum(ratio", "torch.maximum(ratio", "clipping_is_on_both_sides"
    ),
    WrongLine(
        "clip_above_alone",
        *GRPO,
        "ratio.clamp(1 - self.config.clip, 1 +",
        "ratio.clamp(0, 1 +",
        "clipping_is_on_both_sides",
    ),
    WrongLine(
        "clip_below_alone",
        *GRPO,
        "1 + (self.config.clip_high or self.config.clip)",
        "1e9",
        "clipping_is_on_both_sides",
    ),
    WrongLine(
        "clipped_gain_alone",
        *GRPO,
        "torch.minimum(ratio * advantage[..., None], clipped * advantage[..., None])",
        "clipped * advantage[..., None]",
        "clipping_is_on_both_sides",
    ),
    WrongLine(
        "kl_with_its_sign_turned",
        *GRPO,
        'cost = self.config.beta * kl["kl"]',
        'cost = -self.config.beta * kl["kl"]',
        "the_reference_pulls",
    ),
    WrongLine(
        "kl_of_a_detached_policy",
        *GRPO,
        "k3(tokens.logp, ",
        "k3(tokens.logp.detach(), ",
        "the_reference_pulls",
    ),
    WrongLine(
        "kl_by_the_first_estimate",
        *GRPO,
        "k3(tokens.logp, tokens.ref.detach())",
        "tokens.logp - tokens.ref.detach()",
        "the_reference_pulls",
    ),
    WrongLine(
        "exact_kl_turned",
        *GRPO,
        "exact = readable(rollout.ref_kl, ",
        "exact = -readable(rollout.ref_kl, ",
        "the_reference_pulls",
        {"kl": "exact"},
    ),
    WrongLine(
        "divided_by_the_other",
        *GRPO,
        'if self.config.ratio == "old" else',
        'if self.config.ratio == "ref" else',
        "old_policy_is_used",
    ),
    WrongLine(
        "price_of_the_place",
        *REINFORCE,
        "self.config.step_penalty * rollout.depth\n",
        "self.config.step_penalty * rollout.depth_index\n",
        "a_depth_never_chosen_changes_nothing",
        {"step_penalty": 0.1},
    ),
    WrongLine(
        "depth_less_one_for_its_place",
        *REINFORCE,
        "gather(1, rollout.depth_index[:, None])[:, 0]",
        "gather(1, rollout.depth[:, None] - 1)[:, 0]",
        "nothing_is_raised",
    ),
    WrongLine(
        "old_choice_is_the_new",
        *REINFORCE,
        "_chosen(rollout.old_depth_logp, rollout)",
        "_chosen(rollout.depth_logp.detach(), rollout)",
        "old_policy_is_used",
    ),
    WrongLine(
        "far_whatever_the_advantage",
        *REINFORCE,
        "ratio < 1 - self.config.clip",
        "ratio > 1 + self.config.clip",
        "clipping_is_on_both_sides",
    ),
    WrongLine(
        "baseline_of_its_own_rank",
        *REINFORCE,
        "(1 - self.config.momentum) * rollout.world_reward",
        "(1 - self.config.momentum) * rollout.rewards.mean()",
        "ranks_stay_alike",
    ),
    WrongLine(
        "target_pays_too", *NDCG, "~hit & (candidates >= 0)", "(candidates >= 0)", "the_target_earns_most"
    ),
    WrongLine("parts_from_it", *PREFIX, "same.cumprod(", "(~same).cumprod(", "the_target_earns_most"),
    WrongLine(
        "pays_the_first",
        *RULE,
        "judged.candidates == judged.target[:, None]",
        "(judged.candidates == judged.candidates[:, :1]) & (judged.candidates >= 0)",
        "the_target_earns_most",
    ),
    WrongLine(
        "decodes_all_levels_but_one",
        *KMEANS,
        "reconstruction(self.codebooks, codes)",
        "reconstruction(self.codebooks, codes[:, : max(1, len(self.codebooks) - 1)])",
        "every_level_is_felt",
        SMALL,
    ),
    WrongLine(
        "last_level_from_the_first_code",
        *KMEANS,
        "return torch.stack(codes, dim=1).to(items.device)",
        "return torch.stack([*codes[:-1], 0 * codes[-1]], dim=1).to(items.device)",
        "every_level_is_felt",
        SMALL,
    ),
    WrongLine(
        "company_in_the_order_of_rows",
        *COMPANY,
        "flat = train.items.astype(np.int64)",
        "flat = np.sort(train.items.astype(np.int64))",
        "order_of_items_does_not_matter",
    ),
    WrongLine(
        "texts_sorted",
        *WORDS,
        "self._tfidf(item_text(items, self.config.fields))",
        "self._tfidf(sorted(item_text(items, self.config.fields)))",
        "order_of_items_does_not_matter",
    ),
    WrongLine(
        "softmax_over_branches",
        *MLP,
        "torch.tanh(self.hidden(h0.to(self.hidden.weight.dtype)))",
        "self.hidden(h0.to(self.hidden.weight.dtype)).softmax(1)",
        "a_prompt_alone_is_the_prompt_in_any_batch",
    ),
    WrongLine(
        "batch_mean_in_training",
        *MLP,
        "prompt.h0.detach() if self.config.detach_h0 else prompt.h0",
        "prompt.h0 - self.training * prompt.h0.mean(dim=0)",
        "a_prompt_alone_is_the_prompt_in_any_batch",
    ),
    WrongLine(
        "one_pair_less",
        *STEPWISE,
        "min(trace.mask.shape[-1], anchors.mask.shape[-1])",
        "max(min(trace.mask.shape[-1], anchors.mask.shape[-1]) - 1, 0)",
        "every_pair_is_felt",
    ),
    WrongLine(
        "input_changed_in_training",
        *COCONUT,
        "        thoughts, nodes = [self.before_all(prompt, start)], [node]\n",
        "        thoughts, nodes = [self.before_all(prompt, start)], [node]\n"
        "        prompt.h0.data.add_(0.001 * self.training)\n",
        "inputs_are_left_as_they_were",
        heir=COCONUT_LOOP,
    ),
    WrongLine(
        "keeps_what_it_fed",
        *COCONUT,
        "thoughts.append(h_BRD)",
        "thoughts.append(inputs)",
        "thoughts_are_states_of_the_backbone",
        heir=COCONUT_LOOP,
    ),
    WrongLine(
        "hangs_on_the_thought_before",
        *COCONUT,
        "tip = torch.stack(nodes).gather(0, own)[0]",
        "tip = torch.stack(nodes).gather(0, (own - 1).clamp_min(0))[0]",
        "last_is_the_state_at_the_tip",
        {"exit": "direct"},
        COCONUT_LOOP,
    ),
    WrongLine(
        "answers_from_thought_four",
        *COCONUT,
        "own = depth[None]",
        "own = depth.clamp_max(4)[None]",
        "many_tokens_and_thoughts_are_as_few",
        {"exit": "direct"},
        COCONUT_LOOP,
    ),
    WrongLine(
        "eight_steps_at_most",
        *COCONUT,
        "for step in range(steps):",
        "for step in range(min(steps, 8)):",
        "many_tokens_and_thoughts_are_as_few",
        heir=COCONUT_LOOP,
    ),
    WrongLine(
        "eight_beams_at_most",
        *BEAM,
        "min(width, flat.shape[-1])",
        "min(width, 8, flat.shape[-1])",
        "a_large_catalogue_is_ranked_too",
    ),
    WrongLine(
        "ties_as_they_fall",
        *BEAM,
        "stable_topk(flat, min(width, flat.shape[-1]))",
        "flat.topk(min(width, flat.shape[-1])).indices",
        "equal_scores_keep_their_order",
    ),
    WrongLine(
        "trims_the_text",
        *TEMPLATE,
        'config.text.split("{history}")',
        'map(str.strip, config.text.split("{history}"))',
        "history_stands_where_it_is_marked",
        TEXT,
    ),
    WrongLine(
        "leaves_the_braces",
        *TEMPLATE,
        'config.text.split("{history}")',
        'config.text.split("history")',
        "history_stands_where_it_is_marked",
        TEXT,
    ),
]
