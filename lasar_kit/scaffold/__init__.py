"""`lasar-kit plugins new`: a package around a component that works, to be changed into one's own."""

from lasar_kit.scaffold.write import write_package

__all__ = ["write_package"]
