"""The shop: an application of Django, and the project around it."""
