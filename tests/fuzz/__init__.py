"""Readers given damaged and hostile files: each reads them, or refuses them in words."""
