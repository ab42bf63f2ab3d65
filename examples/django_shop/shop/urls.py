"""The addresses of the shop."""

from django.urls import path

from paycollect.web.django import webhook_urls

from . import views
from .payments import cashier

urlpatterns = [
    path("", views.show),
    path("buy", views.buy),
    path("return", views.come_back),
    *webhook_urls("webhook", cashier),
]
