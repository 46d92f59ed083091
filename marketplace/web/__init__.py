"""Pages, one module per kind of person."""
