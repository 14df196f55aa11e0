"""What a run found: the summary, the verdict on it, and the pages and tables a person reads."""
