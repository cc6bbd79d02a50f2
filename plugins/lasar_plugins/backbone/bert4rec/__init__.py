"""BERT4Rec: an encoder that reads both ways and fills in what is masked."""
