"""Families of networks, one module each: axes, their rules, how they are built; without torch. See model/family.py."""
