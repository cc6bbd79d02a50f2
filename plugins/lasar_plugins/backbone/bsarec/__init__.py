"""BSARec: attention beside a filter of the sequence's frequencies, over whole windows."""
