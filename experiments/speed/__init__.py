"""levlib against its peers and against the machine: make bench runs all of it."""
