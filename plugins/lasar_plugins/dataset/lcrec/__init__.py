"""Data sets in the files of LC-Rec and MiniOneRec."""
