"""Commands over a data set that are killed."""
