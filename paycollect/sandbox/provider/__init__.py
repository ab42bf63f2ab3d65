"""The provider: tokens, collections, refunds, webhooks, and the answers to requests.

Invariants: no I/O, no framework and no clock; moments are passed in or asked of a function.
`endpoints.Provider` is the whole, and answers requests in process.
"""
