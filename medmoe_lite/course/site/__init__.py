"""The course as a web site, built offline by `make site`."""
