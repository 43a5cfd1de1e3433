"""What each rule has counted: one state a form, over columns."""
