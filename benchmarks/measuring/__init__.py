"""What benchmarks of speed have in common: results kept, short forms run, goals, the page."""
