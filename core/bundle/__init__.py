"""What is published: a folder that holds a model, what it must do, a program that runs it, and their digests."""
