"""The whole command line."""

from paycollect.cli.plain import main

__all__ = ["main"]
