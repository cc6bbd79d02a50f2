"""A page about finished runs, in one file that needs no network."""

from lasar_kit.report.html.page import write_page

__all__ = ["write_page"]
