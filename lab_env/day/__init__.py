"""A day of 2013 at the whole airport: played, disturbed, and judged at midnight."""
