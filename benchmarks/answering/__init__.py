"""What our own networks answer on every labelled set: plan, runs and page."""
