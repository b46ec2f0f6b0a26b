"""What a teacher needs, made from the same sources: keys, plans, mistakes, figures."""
