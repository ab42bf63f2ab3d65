"""The provider as the tests stand it up: its answers, its faults, and clocks on which nobody waits."""
