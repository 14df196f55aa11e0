"""Stage 4: fine-tune with NNCF compression."""
