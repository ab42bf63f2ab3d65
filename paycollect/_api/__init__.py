"""The provider's API as pure functions: what is asked, and what an answer means.

Nothing here does I/O or reads a clock. It may import models, errors and the readers of JSON.
"""
