"""Class activation maps of a data set: refined, and made pseudo-labels."""

from closedform_wsss.cams.refine_folder import refine_folder

__all__ = ["refine_folder"]
