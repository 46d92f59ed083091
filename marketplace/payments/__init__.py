"""Money in and out through the payment provider."""
