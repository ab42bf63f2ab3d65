"""A shop in Django, for tests in this process and under real servers: see `settings`."""
