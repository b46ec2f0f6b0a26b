"""Hand the course out: releases for students, plain and for nbgrader."""
