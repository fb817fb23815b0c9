"""The operations of the invest domain: each over an open session, in its caller's transaction, to be composed.

One file a topic, async and its generated sync twin. They flush and never commit; where several rows are locked, the
user's comes first, then the portfolio's, then what belongs to it.
"""
