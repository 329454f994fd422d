"""Do patches that the sequence cuts help? The runs, what is measured in each, and the page."""
