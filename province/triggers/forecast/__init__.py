"""Whose allowance will not last the month."""
