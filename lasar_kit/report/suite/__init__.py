"""Tables and figures of a suite whose runs are done."""

from lasar_kit.report.suite.ran import Ran
from lasar_kit.report.suite.write import as_text, write

__all__ = ["Ran", "as_text", "write"]
