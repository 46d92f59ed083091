"""Many invoices at once: uploaded in pieces, unpacked, judged row by row."""
