"""What takes several calls: creating exactly once, confirming, waiting, going through pages.

It may import `_http` and what lies below it.
"""
