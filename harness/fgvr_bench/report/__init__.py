"""A report: results as pages that open from disk, without a server and without a network.

``reading`` judges runs and lays their answers beside the questions; ``figures`` counts; ``pictures`` makes
thumbnails, once; ``writing`` knows how data become files that a page may load; ``build`` puts a report together
and ``flips`` the page of a comparison.  What the browser runs is in ``static``, in ``templates`` what it is put
into, in ``vendor`` two libraries that draw the charts (their licences beside them).
"""
