"""The queue of tasks: django-q's, with what it needs to survive processes that die.

`broker` hands tasks out under a lease and counts attempts, `serving` is the process group of a cluster, `supervisor`
watches and replaces it, `reading` is what the page shows. The queue only triggers: rows elsewhere own the truth, so a
task that runs twice does no harm.
"""
