"""Data sets from CSV, TSV and Parquet files."""
