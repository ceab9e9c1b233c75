"""Functions measured side by side, and killed at their worst moments."""
