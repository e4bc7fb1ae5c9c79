"""Tests of the reports of a sweep."""
