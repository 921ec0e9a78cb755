"""Archives of other kinds, as what `ffrfs pack` reads: one module for each kind, `member` for what they share."""
