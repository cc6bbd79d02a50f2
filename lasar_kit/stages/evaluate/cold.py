"""Items that training went without, let into the catalogue as new ones are."""

from __future__ import annotations

from lasar_kit.data.cold import Cold
from lasar_kit.data.sids import Sids, load_cold
from lasar_kit.data.stage_context import StageContext
from lasar_kit.errors import UserError
from lasar_kit.model.recommender import Recommender


def let_in(recommender: Recommender, context: StageContext) -> Cold:
    """Extend a recommender's catalogue by the items that its run holds out, and return them.

    `UserError` where the stage that made the semantic IDs could not give them any.
    """
    cold = Cold.load(context.inputs["dataset"])
    assert cold is not None, "the data set holds them out because this stage asks for it"
    codes = load_cold(context.inputs["sids"])
    if codes is None:
        raise UserError(
            f"stages.{context.name}.cold: the semantic IDs that it reads cannot be given to later items; "
            "rq_kmeans with tfidf_svd, sentence_transformer or a concat with one of them can"
        )
    table = Sids(codes, context.sids().sizes).table(recommender.backbone.tokenizer)
    recommender.extend(table.tokens)
    return cold
