"""Topics that are made, made anew and deleted, and those who use them meanwhile."""
