"""Random lives of the market under faults and kills, and what must be true after each."""
