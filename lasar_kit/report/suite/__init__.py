"""Tables and figures of a suite whose runs are done."""

from lasar_kit.report.suite.files import as_text, write
from lasar_kit.report.suite.ran import Ran

__all__ = ["Ran", "as_text", "write"]
