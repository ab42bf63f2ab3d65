"""The tables; each migration is additive, as two releases may run side by side."""
