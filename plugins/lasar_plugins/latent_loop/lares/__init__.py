"""All states refined at once, by the same layers again and again."""
