"""What happened, each fact defined once: pictures draw it, checks judge it, cells read it."""
