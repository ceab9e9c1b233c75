"""Processes beside the notebook: their supervisor, the student's services, Java, folders."""
