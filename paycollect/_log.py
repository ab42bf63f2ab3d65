"""The one logger of the SDK. It is silent until the application sets logging up."""

from __future__ import annotations

import logging
from typing import Final

log: Final = logging.getLogger("paycollect")
log.addHandler(logging.NullHandler())
