"""The command line: `paycollect` and `python -m paycollect`.

Without any extra:

    exits      what an exit code means, and what to say about an error
    run        an event loop around a command, and an exit code for whatever comes of it
    streams    standard output and standard error, which may be closed or full
    terminal   writing to a terminal: colours and a spinner only where a person sees them
    sandbox, live_log, demo/   two of the commands
    plain      the command line that has only these two, and says how to get the rest

With the extra "cli" (typer and rich):

    command    what all commands share        settings   from the environment, or asked for
    show       tables and JSON                app        all commands together
    payments, refunds, webhooks, webhook_config, doctor   the commands; with progress, checkup,
                                                          endpoint and samples
    cashier_desk, timeline            the cashier's commands, and the words of its timeline
    stores, tables, store_checkup     which store is meant, its tables, its traps

Invariants: whatever goes wrong ends in one message that says what happened, whose fault
it is and what to do next, and in a documented exit code; never in a traceback, never in a secret.
"""
