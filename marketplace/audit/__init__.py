"""A trail that proves itself: events, order, tree, signed checkpoints, the bundle and its verifier."""
