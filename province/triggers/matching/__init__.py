"""Which events a rule looks at: conditions, areas and hosts over columns."""
