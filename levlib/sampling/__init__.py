"""Weights drawn from the leverage density (Definition 3.2, Definition 3.8)."""
