"""GRU4Rec: a recurrent network over items, on the token tree."""
