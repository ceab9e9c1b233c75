"""What keeps a picture alive while other cells run; knows nothing of what is drawn."""
