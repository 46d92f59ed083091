"""What stands between an invoice and the market until people have looked."""
