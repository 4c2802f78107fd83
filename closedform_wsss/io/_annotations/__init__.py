"""Exports of annotation tools: what they hold, and the marks that it draws."""
