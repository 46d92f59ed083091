"""What every room shares: money, time, ids, states, errors. Pure."""
