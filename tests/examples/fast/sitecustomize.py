"""Python imports this first: cashiers of this process then live by the sandbox's fast clock.

The examples run as they are; only the time that they see is the one of the provider.
"""

import os
from datetime import datetime

if "EXAMPLE_NOW" in os.environ:
    from paycollect.cashier import Cashier
    from paycollect.sandbox import Clock
    from paycollect.sync.cashier import Cashier as BlockingCashier

    clock = Clock(
        start=datetime.fromisoformat(os.environ["EXAMPLE_NOW"]),
        time_scale=float(os.environ["EXAMPLE_TIMES"]),
    )
    for kind in (Cashier, BlockingCashier):
        assert kind.__init__.__kwdefaults__ is not None
        kind.__init__.__kwdefaults__["clock"] = clock
