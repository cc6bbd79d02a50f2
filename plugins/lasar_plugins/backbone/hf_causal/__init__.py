"""Any decoder-only language model of transformers as a backbone, and what its relatives share."""
