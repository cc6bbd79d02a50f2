"""One file a stage; their options stand in `config.py`."""
