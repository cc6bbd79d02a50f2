"""A recommender read as one: prompts in, thoughts, ranked items out."""
