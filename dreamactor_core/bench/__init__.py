"""Figures for the method: the puppet benchmark, where the truth is known."""
