"""The report on formats and serving, made from its record alone."""
