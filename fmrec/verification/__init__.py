"""An acceptance run on a real account: deploy, run, settle what the documentation marks as unconfirmed,
remove.
"""
