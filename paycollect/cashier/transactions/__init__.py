"""The transactions, each a generator as `paycollect.cashier.store` explains.

    lines      a line of the timeline, and other parts that several transactions share
    intents    reading an order; from intent to checkout
    claims     having orders for oneself for a while
    outcomes   what a claimed order becomes
    inbox      webhooks, and payments that belong to no order
    lookups    finding an order by its order id, over several passes
    sweeps     what the sweep reads and marks
    desk       what a person asks and decides
    settings   what the processes on one store tell each other

Invariants: whatever a worker writes names its lease, so that one that came too late writes nothing;
each change of state and its line of the timeline are one transaction; a webhook is marked as
handled by its own id only, and in the transaction that its news led to.
"""
