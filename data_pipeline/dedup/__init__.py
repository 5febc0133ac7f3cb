"""Finds copies: pictures that are the same although their files are not, and what follows of it.

signature   what a picture is recognised by, made where a cover is normalised
candidates  pairs that look alike from afar, without trying all pairs
compare     whether two pictures are the same, looked at closely
near        copies gathered around the best of them
placeholders, conflicts, groups   what becomes of them
"""
