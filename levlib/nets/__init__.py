"""Nets, their training, and the flows that they follow (Definition 3.5, Definition 3.8, Section
4)."""
