"""Read models for pages and exports. Read only."""
