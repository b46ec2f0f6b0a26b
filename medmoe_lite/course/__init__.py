"""Build the course: one text source a notebook, two notebooks made from it."""
