"""Data sets from the Amazon review dumps of 2014, 2018 and 2023."""
