"""Measurements of ffrfs beside its peers, and the demonstration; no part of the installed package."""
