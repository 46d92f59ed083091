"""The exchange between instances: whether anybody else has listed the same claim."""
