"""What a region costs the client, beside its work: ours against a bare loop over futures in the same window."""
