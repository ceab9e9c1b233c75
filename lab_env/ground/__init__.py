"""What everything stands on: errors, the clock and its marks, reports, waiting, this machine."""
