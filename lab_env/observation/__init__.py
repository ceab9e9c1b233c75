"""The broker, observed: samples four times a second, and single looks, through clients alone."""
