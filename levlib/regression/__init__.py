"""Ridge regression: exact, iterated, streamed, and over many machines (Eq. 1, Eq. 2)."""
