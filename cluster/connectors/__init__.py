"""One module for each way to get a cluster: each opens one, gives a connected client, and ends what it has started.

Libraries that only one kind needs are imported when it is opened.
"""
