"""All that a person types: the ``lab`` command, the list of lessons, the doctor, slides."""
