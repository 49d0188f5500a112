"""Studies whose results the chapters read: python -m experiments.NAME, from the root of the
repository."""
