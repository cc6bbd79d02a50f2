"""SASRec: a small transformer over items, on the token tree."""
