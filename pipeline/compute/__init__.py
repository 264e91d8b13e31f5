"""What is done inside one region: slabs are built and layers detected, without a plan or a ledger."""
