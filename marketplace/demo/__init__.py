"""A market to look at: fictional people, their documents and a whole life of receivables."""
