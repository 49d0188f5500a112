"""Leverage: of weights (Definition 3.1), of rows and of data points."""
