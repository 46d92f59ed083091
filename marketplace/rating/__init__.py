"""What companies filed, and what it says about the chance that they pay."""
