"""Probing a model: does it see what tells classes apart, does it know their names, are the two aligned?

==============  =================================================================================
`study`         the whole of it, from a model and a dataset to figures
`collecting`    features of pictures, in a cache with resume
`linear`        what a linear reader finds in features
`neighbours`    what their neighbourhoods hold: nearest neighbours, retrieval
`alignment`     pictures, names and descriptions in one space
`tables`        the figures in words
`plots`         and in pictures
==============  =================================================================================

It needs scikit-learn and matplotlib: ``pip install 'fgvr-bench[probe]'``.
"""
