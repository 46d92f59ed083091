"""From award to the last penny: settlement, collection, waterfall, default."""
