"""Nets, their training, and the flows that they follow (Sections 3.2 and 4)."""
