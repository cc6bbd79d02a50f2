"""Terms on each thought: the answer, early; ReaRec's; neighbours of the answer."""
