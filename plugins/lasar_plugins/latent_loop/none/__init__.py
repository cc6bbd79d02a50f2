"""No reasoning: the answer follows the prompt."""
