"""The names of what the folder of a run holds."""

LOCK = "spec.lock.yaml"
"""The resolved spec, there from the start of a run."""

METRICS, PREDICTIONS, LOG, MODEL = "metrics.json", "predictions.jsonl", "log.jsonl", "model"
"""Further names; the first three also in the folder of a stage that makes such."""

ITEMS = "items.jsonl"
"""What was added to the catalogue of a run and withdrawn from it since."""

BESIDE = "beside.parquet"
"""In the folder of an evaluation: where each ranker beside the model put every user's target."""
