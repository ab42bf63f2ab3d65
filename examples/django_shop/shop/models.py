"""The shop's tables; the cashier's are beside them, from its own migrations."""

from django.db import models


class Order(models.Model):
    """What was ordered."""

    number = models.CharField(max_length=40, unique=True)
    amount = models.DecimalField(max_digits=10, decimal_places=2)

    def __str__(self) -> str:
        return str(self.number)


class Parcel(models.Model):
    """What went out."""

    order = models.ForeignKey(Order, on_delete=models.PROTECT)

    def __str__(self) -> str:
        return f"Parcel for {self.order}"
