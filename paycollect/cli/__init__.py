"""The command line: `paycollect` and `python -m paycollect`.

    exits     what an exit code means, and what to say about an error
    local     demo and sandbox, which need no extra
    plain     the command line without the extra "cli": demo, sandbox, and how to get the rest
    app       the whole command line, with typer and rich

The law of these rooms: whatever goes wrong ends in one message that says what happened, whose fault
it is and what to do next, and in a documented exit code; never in a traceback, never in a secret.
"""
