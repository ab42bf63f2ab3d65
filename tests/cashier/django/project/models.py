"""The shop's own tables."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models


class Parcel(models.Model):
    """A delivery."""

    objects: ClassVar[Any]
    order_id: Any = models.TextField()

    class Meta:
        """It has a short name in statements."""

        db_table = "parcel"

    def __str__(self) -> str:
        return str(self.order_id)
