"""Is this claim an old one in new clothes? What two claims share and differ in, evidence by evidence."""
