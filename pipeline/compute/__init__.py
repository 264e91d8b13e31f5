"""What is done inside one region: slabs are built, layers detected. Knows no plan and no ledger."""
