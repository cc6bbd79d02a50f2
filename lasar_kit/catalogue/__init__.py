"""Which components there are: registries, discovery, hooks and the version of the API. Imports no torch."""

from lasar_kit.catalogue.catalogue import Catalogue

__all__ = ["Catalogue"]
