"""ringctl moves a change over a fleet of accounts ring by ring and stops by itself."""

__all__ = ["__version__"]

__version__ = "0.1.0.dev0"
