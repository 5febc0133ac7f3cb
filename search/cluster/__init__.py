"""Ray: the session, the workers, the trials it runs.

In: what trials share, a searcher's recipes. Out: trials that ran. What imports Ray in the search
belongs here.
"""
