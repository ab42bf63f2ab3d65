"""The sandbox on the network: server, API, checkout page, console, and the webhooks it sends.

Each room gets the `Parts` of the sandbox. Here alone in the sandbox is aiohttp imported.
"""
