"""Where photos, jobs, replies and accounts are kept: the contracts, and one folder for each
technology."""
