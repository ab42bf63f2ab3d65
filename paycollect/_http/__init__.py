"""One call of the API, made to succeed: the token, the attempts, the waits and the deadline.

`transport.py` is the only file of the client that touches aiohttp. It may import `_api` and
`tokens`.
"""
