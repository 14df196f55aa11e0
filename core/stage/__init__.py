"""What every stage's command line shares: arguments, outputs, errors and progress."""
